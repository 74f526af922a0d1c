"""A study folder: one record a job, written atomically, and what lies beside it.

::

    study.json      what is frozen at the first run
    splits.json     nnU-Net's form
    jobs/ID.json    what a job is (written when it is planned)
    records/ID.json what came out; its being there means that the job is done
    weights/        safetensors      } not in git
    predictions/    bit-packed masks } (of real data)
    targets/ cache/ can be made again; never in git
    progress/ logs/ what running jobs say; tensorboard/ for who asks; never in git
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.reading import check, read_json
from bench.schema import Settings, check_job, check_record
from bench.spec import Job

ID = re.compile("[0-9A-Za-z]{1,64}")
GIT_IGNORED = ("weights/", "targets/", "cache/", "progress/", "logs/", "tensorboard/")
GIT_IGNORED_REAL = ("predictions/", "figures/cases*")


@dataclass(frozen=True)
class Study:
    """The folder of a study."""

    root: Path

    def path(self, kind: str, job_id: str) -> Path:
        """Where something of a job lies; ``kind`` is a folder's name.

        Raises:
            UserError: what can't be an id, and so might lead out of the study.
        """
        if not ID.fullmatch(job_id):
            raise UserError(f"{self.root}: {job_id!r} can't be a job's id; see --dry-run")
        suffix = {"weights": ".safetensors", "predictions": ".npz", "logs": ".log"}.get(kind, ".json")
        return self.root / kind / f"{job_id}{suffix}"

    def settings(self) -> dict[str, Any] | None:
        """What ``study.json`` holds; None before the first run.

        Raises:
            UserError: not JSON, an unknown key, a value of another type.
        """
        path = self.root / "study.json"
        content = read_json(path)
        return None if content is None else check(Settings, content, path)

    def create(self, settings: dict[str, Any], synthetic: bool) -> None:
        """Make the folder and freeze ``settings``."""
        self.root.mkdir(parents=True, exist_ok=True)
        ignored = GIT_IGNORED if synthetic else GIT_IGNORED + GIT_IGNORED_REAL
        write_text(self.root / ".gitignore", "".join(f"{line}\n" for line in ignored))
        write_json(self.root / "study.json", settings)

    def plan(self, job: Job) -> None:
        """Write what the job is, for whoever runs it by its id."""
        try:
            self.job(job.id)
        except UserError:  # none, or a damaged file
            write_json(self.path("jobs", job.id), job.as_dict())

    def is_planned(self, name: str) -> bool:
        """Whether a job of that id is planned; any name may be asked for."""
        return ID.fullmatch(name) is not None and self.path("jobs", name).is_file()

    def job(self, job_id: str) -> Job:
        """The planned job of that id.

        Raises:
            UserError: no such job, or a file that is none.
        """
        values = read_json(self.path("jobs", job_id)) if ID.fullmatch(job_id) else None
        if values is None:
            raise UserError(f"{self.root}: no job {job_id!r} is planned here; see --dry-run")
        return check_job(values, job_id, self.path("jobs", job_id))

    def jobs(self) -> list[Job]:
        """All planned jobs."""
        return [self.job(job_id) for job_id in self._ids("jobs")]

    def record(self, job_id: str) -> dict[str, Any] | None:
        """The job's record, or None.

        Raises:
            UserError: not JSON, or not a record of this job.
        """
        path = self.path("records", job_id)
        content = read_json(path)
        return None if content is None else check_record(content, job_id, path)

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order of their ids."""
        found = (self.record(job_id) for job_id in self._ids("records"))
        return [record for record in found if record is not None]

    def _ids(self, kind: str) -> list[str]:
        """What a folder has files of; hidden ones are being written."""
        names = sorted(path.name for path in (self.root / kind).glob("*.json"))
        return [name.removesuffix(".json") for name in names if not name.startswith(".")]

    def has_weights(self, job_id: str) -> bool:
        """Whether the trained network itself is still here."""
        return self.path("weights", job_id).is_file()


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN becomes null."""
    write_text(path, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path, then put the file in place whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(partial)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
