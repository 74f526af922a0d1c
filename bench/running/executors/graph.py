"""What must come before what: a teacher, its targets, its students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.job import Job
from bench.study.store import Study


def needs(study: Study, jobs: Sequence[Job]) -> dict[str, set[str]]:
    """Which of ``jobs`` must have ended before each of them begins, by id.

    A student needs its teacher, and what is made from a network that one. Until the teacher's targets are
    recorded, the first of its students records them and the others need that one. What is not among
    ``jobs`` is done already, or will block what needs it.
    """
    ids = {job.id for job in jobs}
    recording: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    for job in jobs:
        found[job.id] = ids & set(job.needs)
        if not job.taught:
            continue
        folder = study.targets_folder(job)
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


def places(threads: int, settings: Mapping[str, Any]) -> int:
    """How many of a study's ``workers`` places a job of so many threads takes."""
    each, workers = int(settings.get("threads", threads)), int(settings.get("workers", 1))
    return min(workers, max(1, threads // each))
