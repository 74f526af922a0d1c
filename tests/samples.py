"""Jobs and settings of no study in particular, and records changed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bench.job import Job
from bench.planning.session import Setting
from bench.study.store import Study


def blank_job(**changes: Any) -> Job:
    """What all jobs of a study share: slices of 96², neither network nor method yet."""
    values: dict[str, Any] = {
        "dataset": "liver-ct", "data": "d", "split": "s", "spatial_dims": 2, "in_channels": 1,
        "out_channels": 1, "image_size": 96, "architecture": "", "method": "", "parameters": (),
        "seg_loss": "", "seed": 0, "teachers": (), "threads": 2, "precision": "fp32", "compiled": False,
    }  # fmt: skip
    return Job(**values | changes)


def a_setting(
    train_cases: int = 400, can_compile: bool = True, usual_updates: int | None = None, **changes: Any
) -> Setting:
    """The setting of a study of such jobs."""
    job = blank_job(**changes)
    return Setting(job, train_cases, can_compile, job.threads, usual_updates=usual_updates)


def change_record(study: Study, job_id: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Let ``edit`` change a job's record, which has no checksum."""
    path = study.path("records", job_id)
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
