"""Jobs and settings of no study in particular."""

from __future__ import annotations

from typing import Any

from bench.job import Job
from bench.planning.session import Setting


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
