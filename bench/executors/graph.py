"""What must come before what, for every executor: a teacher before its students."""

from __future__ import annotations

from collections.abc import Sequence

from bench.spec import Job
from bench.store import Study


def levels(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in steps, each in the order given: all that a job needs is in steps before its own.

    Teachers that are not among ``jobs`` are done already, or will block their students.
    """
    level: dict[str, int] = {}
    waiting = list(jobs)
    while waiting:
        unplaced = {job.id for job in waiting}
        for job in [j for j in waiting if not unplaced & set(j.teachers)]:
            level[job.id] = 1 + max((level.get(teacher, -1) for teacher in job.teachers), default=-1)
            waiting.remove(job)
    return [[job for job in jobs if level[job.id] == k] for k in sorted(set(level.values()))]


def blocked(study: Study, job: Job) -> str:
    """Why the job can't run: a teacher without weights; empty if it can."""
    for teacher in job.teachers:
        if not study.has_weights(teacher):
            status = (study.record(teacher) or {}).get("status", "done")
            ended = "" if status == "done" else f" ({status})"
            return f"its teacher {study.job(teacher).label} has no trained network{ended}"
    return ""


def stamp(study: Study, job_id: str) -> int | None:
    """Changes whenever the job's record is written; None where there is none."""
    try:
        return study.path("records", job_id).stat().st_mtime_ns
    except FileNotFoundError:
        return None
