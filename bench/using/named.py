"""A network found by the name that a user types: of a study, of a bundle, of a file of weights."""

from __future__ import annotations

from pathlib import Path

from bench.errors import UserError
from bench.study.store import existing
from bench.using.bundle import is_bundle, of_bundle
from bench.using.network import Network, of_file, of_study


def named(text: str) -> Network:
    """The network that ``STUDY:ID``, a bundle's folder or a file of weights names.

    Raises:
        UserError: no such network.
    """
    path = Path(text)
    if path.is_file():
        return of_file(path)
    if is_bundle(path):
        return of_bundle(path)
    folder, colon, job_id = text.rpartition(":")
    if not colon or not folder or not job_id:
        what = "is a folder without a bundle" if path.is_dir() else "names no network"
        raise UserError(
            f"{text}: {what}; must be a bundle that export has made, a file of weights, or STUDY:ID, a "
            "study's folder and the id of a job that is done, e.g. results/quick:0123456789abcdef"
        )
    return of_study(existing(Path(folder)), job_id)
