"""The network that predicts, and all that is known of it, found by the name that a user types."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from bench import plugins
from bench.compute.cores import usable_cores
from bench.errors import UserError
from bench.files.checksums import checksum, digest
from bench.study.store import Study, existing
from bench.training.job_parts import load_artefact
from bench.using.preprocessing import Preprocessing
from methods.artefact import Artefact


@dataclass(frozen=True)
class Network:
    """A finished network, ready for images as they come.

    Attributes:
        label: for people: architecture, method, seed or fold.
        weights: SHA-256 of its file.
        synthetic: whether it was trained on generated images.
    """

    label: str
    artefact: Artefact
    made_for: Preprocessing
    weights: str
    synthetic: bool = False

    @property
    def identity(self) -> str:
        """Changes whenever its masks might: a hash of weights and preprocessing."""
        return digest(self.weights, json.dumps(self.made_for.as_dict(), sort_keys=True))


def named(text: str) -> Network:
    """The network that ``STUDY:ID`` names.

    Raises:
        UserError: no such study, job or weights.
    """
    folder, colon, job_id = text.rpartition(":")
    if not colon or not folder or not job_id:
        raise UserError(
            f"{text}: names no network; must be STUDY:ID, a study's folder and the id of a job that is "
            "done, e.g. results/quick:0123456789abcdef"
        )
    return of_study(existing(Path(folder)), job_id)


def of_study(study: Study, job_id: str) -> Network:
    """The finished network of a job, on the processor.

    Raises:
        UserError: the job is not done, or its weights are not here.
    """
    record = study.record(job_id)
    if record is None or record["status"] != "done":
        raise UserError(f"{study.root}: job {job_id} is not done; see status")
    job = study.job(job_id)
    if any(("architecture", job.architecture) in plugin.brings for plugin in plugins.LOADED.values()):
        plugins.require(job, study.plugins())  # one that has changed may compute something else
    try:
        artefact = load_artefact(study, job)
    except UserError:
        plugins.require(job, study.plugins())  # says which one, where one is missing
        raise
    if artefact is None:
        raise UserError(f"{study.path('weights', job_id)}: not here; the job must be run on this machine")
    facts = record["dataset"]
    weights = checksum(study.path("weights", job_id))
    return Network(job.label, artefact, Preprocessing.of(job, facts), weights, facts["synthetic"])


def on_threads(artefact: Artefact, threads: int | None) -> int:
    """Let it compute on so many threads; None: on all cores that this process may use. How many it is."""
    count = usable_cores() if threads is None else threads
    torch.set_num_threads(count)
    artefact.set_threads(count)  # its runtime may have a pool of its own, sized by all cores of the machine
    return count
