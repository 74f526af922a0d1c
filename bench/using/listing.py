"""``predictions.json``: what was asked for, what came of it, and by which network, for programs to read.

It is written before the first mask, so that whatever lies in the folder after a kill is known to be ours,
and again whenever some time has passed. The next run of the same command takes from it what is finished.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.errors import UserError
from bench.files.atomic import write_json
from bench.files.checked import check, read_json
from bench.files.checksums import checksum, digest
from bench.using.inputs import Input

NAME = "predictions.json"
FLUSH_SECONDS = 1.0
OVERWRITE = "name another folder with -o, or --overwrite"
Row = dict[str, Any]


class _Case(BaseModel):
    """What is read again of a case."""

    model_config = ConfigDict(extra="allow")

    case: str
    output: str
    status: Literal["waiting", "done", "failed"]
    input_sha256: str = ""
    output_sha256: str = ""
    mask_sha256: str = ""
    scores: dict[str, float | None] = {}


class _Network(BaseModel):
    model_config = ConfigDict(extra="allow")

    identity: str
    label: str


class _Listing(BaseModel):
    model_config = ConfigDict(extra="allow")

    network: _Network
    cases: list[_Case]


@dataclass
class Listing:
    """The list of a folder of masks; ``about`` is all of it but the cases."""

    folder: Path
    about: Row
    rows: dict[str, Row] = field(default_factory=dict)
    """By the path of the mask below the folder."""
    _written: float = 0.0

    def note(self, target: str, **more: Any) -> None:
        """What came of a case."""
        self.rows[target] |= more
        if time.monotonic() - self._written > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write it."""
        self._written = time.monotonic()
        counts = Counter(row["status"] for row in self.rows.values())
        write_json(
            self.folder / NAME,
            {
                **self.about,
                "counts": {"cases": len(self.rows), **counts},
                "cases": list(self.rows.values()),
            },
        )


def input_checksum(one: Input) -> str:
    """SHA-256 of a case's file, or a hash of those of its files.

    Raises:
        UserError: a file that can't be read.
    """
    try:
        sums = [checksum(path) for path in one.paths]
    except OSError as error:
        raise UserError(f"{one.shown}: can't be read ({error.strerror})") from None
    return sums[0] if len(sums) == 1 else digest(*sums)


def begin(
    folder: Path,
    about: Row,
    found: Sequence[tuple[str, Input]],
    more: Iterable[str],
    overwrite: bool,
    is_whole: Callable[[Input, str, Row], bool],
) -> tuple[Listing, set[str]]:
    """The list, and the paths of masks that are finished already.

    Args:
        about: what the list says beside its cases; its ``network`` has an ``identity``.
        found: each case with the path of its mask below the folder.
        more: what else is written there.
        overwrite: whether what is there may be replaced.
        is_whole: whether a case that is done has all that is asked for beside its mask.

    Raises:
        UserError: files that are not of such a run, or masks of another network.
    """
    listing = Listing(folder, about)
    old = _old(folder, about["network"]["identity"], overwrite)
    listing.rows |= old
    finished: set[str] = set()
    for target, one in found:
        before = old.get(target)
        if before is None and (folder / target).exists() and not overwrite:
            raise UserError(
                f"{folder / target}: is there already, and no mask of this network; {OVERWRITE}"
            )
        if (
            before is not None
            and before["status"] == "done"
            and (folder / target).is_file()
            and not overwrite
        ):
            if before.get("input_sha256") != input_checksum(one):
                raise UserError(
                    f"{folder / target}: is the mask of another image than {one.shown} is now; {OVERWRITE}"
                )
            if before.get("output_sha256") != checksum(folder / target):
                raise UserError(f"{folder / target}: was changed after it had been written; {OVERWRITE}")
            if is_whole(one, target, before):
                finished.add(target)
                continue
        listing.rows[target] = {"case": one.name, "input": one.shown, "output": target, "status": "waiting"}
    for name in more:
        if (folder / name).exists() and not old and not overwrite:
            raise UserError(f"{folder / name}: is there already; {OVERWRITE}")
    folder.mkdir(parents=True, exist_ok=True)
    listing.flush()
    return listing, finished


def _old(folder: Path, identity: str, overwrite: bool) -> dict[str, Row]:
    """Cases of a run before, by the path of their mask.

    Raises:
        UserError: the folder holds other things.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; -o must name a folder")
    there = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    if not there:
        return {}
    path = folder / NAME
    content = read_json(path)
    if content is None:
        if overwrite:
            return {}
        raise UserError(f"{folder}: holds {there[0].name} and no {NAME}, so it is not ours; {OVERWRITE}")
    try:
        listing: _Listing = check(_Listing, content, path)
    except UserError:
        if overwrite:
            return {}
        raise
    if listing.network.identity != identity:
        if overwrite:
            return {}
        raise UserError(f"{folder}: holds masks of another network ({listing.network.label}); {OVERWRITE}")
    return {row["output"]: row for row in content["cases"]}
