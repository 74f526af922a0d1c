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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.spec import Job

RECORD_STATUS = ("done", "failed", "blocked", "cannot-learn", "skipped")
GIT_IGNORED = ("weights/", "targets/", "cache/", "progress/", "logs/", "tensorboard/")
GIT_IGNORED_REAL = ("predictions/", "figures/cases*")


@dataclass(frozen=True)
class Study:
    """The folder of a study."""

    root: Path

    def path(self, kind: str, job_id: str) -> Path:
        """Where something of a job lies; ``kind`` is a folder's name."""
        suffix = {"weights": ".safetensors", "predictions": ".npz", "logs": ".log"}.get(kind, ".json")
        return self.root / kind / f"{job_id}{suffix}"

    def settings(self) -> dict[str, Any] | None:
        """What ``study.json`` holds; None before the first run."""
        return read_json(self.root / "study.json")

    def create(self, settings: dict[str, Any], synthetic: bool) -> None:
        """Make the folder and freeze ``settings``."""
        self.root.mkdir(parents=True, exist_ok=True)
        ignored = GIT_IGNORED if synthetic else GIT_IGNORED + GIT_IGNORED_REAL
        write_text(self.root / ".gitignore", "".join(f"{line}\n" for line in ignored))
        write_json(self.root / "study.json", settings)

    def plan(self, job: Job) -> None:
        """Write what the job is, for whoever runs it by its id."""
        path = self.path("jobs", job.id)
        if not path.is_file():
            write_json(path, job.as_dict())

    def job(self, job_id: str) -> Job:
        """The planned job of that id.

        Raises:
            UserError: no such job, or a file that is none.
        """
        path = self.path("jobs", job_id)
        values = read_json(path) if job_id.isalnum() else None
        if values is None:
            raise UserError(f"{self.root}: no job {job_id!r} is planned here; see --dry-run")
        try:
            return Job.from_dict(values)
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path}: not a job of this version ({error})") from None

    def jobs(self) -> list[Job]:
        """All planned jobs."""
        return [self.job(path.stem) for path in sorted((self.root / "jobs").glob("*.json"))]

    def record(self, job_id: str) -> dict[str, Any] | None:
        """The job's record, or None."""
        return read_json(self.path("records", job_id))

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order of their ids."""
        found = (read_json(path) for path in sorted((self.root / "records").glob("*.json")))
        return [record for record in found if record is not None]

    def has_weights(self, job_id: str) -> bool:
        """Whether the trained network itself is still here."""
        return self.path("weights", job_id).is_file()


def read_json(path: Path) -> Any:
    """The file's content, None where there is no file.

    Raises:
        UserError: not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); remove it or restore it") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN becomes null."""
    write_text(path, json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    write_file(path, lambda partial: partial.write_text(text))


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
