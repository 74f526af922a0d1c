"""What must come before what, for every executor: a teacher, its targets, its students."""

from __future__ import annotations

from collections.abc import Sequence

from bench.spec import Job
from bench.store import Study
from bench.teaching import targets_folder


def needs(study: Study, jobs: Sequence[Job]) -> dict[str, set[str]]:
    """Which of ``jobs`` must have ended before each of them begins, by id.

    A student needs its teacher. Until the teacher's targets are recorded, the first of its students
    records them and the others need that one. Teachers that are not among ``jobs`` are done already, or
    will block their students.
    """
    ids = {job.id for job in jobs}
    recording: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for job in jobs:
        found[job.id] = ids & set(job.teachers)
        if not job.teachers:
            continue
        folder = targets_folder(study, job)
        first = recording.setdefault(str(folder), job.id)
        if first != job.id and not folder.is_dir():
            found[job.id].add(first)
    return found


def levels(study: Study, jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in steps, each in the order given: all that a job needs is in steps before its own."""
    before = needs(study, jobs)
    steps: list[list[Job]] = []
    placed: set[str] = set()
    while len(placed) < len(jobs):
        steps.append([job for job in jobs if job.id not in placed and before[job.id] <= placed])
        placed |= {job.id for job in steps[-1]}
    return steps


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
