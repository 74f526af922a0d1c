"""What of a matrix is still to do, and why a job that looks done is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.files import lease
from bench.job import Job
from bench.study.store import Study, failure

SAME = ("dataset", "architecture", "method", "seed", "seg_loss")
"""What makes a job look like another: the cell of the matrix and its seed."""


def to_run(study: Study, jobs: Sequence[Job], no_test: bool, retry_failed: bool = False) -> list[Job]:
    """The jobs without the scores that are asked for, and done ones whose weights those need and lack.

    What has failed is left alone; a blocked job is not once nothing blocks it any more. With
    ``retry_failed`` those that failed, were blocked or killed, and no others.
    """
    todo: set[str] = set()

    def is_wanted(job: Job) -> bool:
        record = study.record(job.id)
        if retry_failed:
            return bool(failure(record)) or (record is None and lease.was_killed(study.root, job.id))
        if record is None or record["status"] == "skipped":
            return True
        if record["status"] == "blocked":
            return not any(failure(study.record(needed)) for needed in job.needs if needed not in todo)
        lacks_scores = not (no_test or "test" in record)
        return not failure(record) and (lacks_scores or study.must_mend(job.id))

    for job in jobs:  # what others need before them
        if is_wanted(job):
            todo.add(job.id)
    for job in reversed(jobs):
        if job.id in todo:
            todo |= {needed for needed in _needed(study, job) if _is_lost(study, needed)}
    return [job for job in jobs if job.id in todo]


def _needed(study: Study, job: Job) -> tuple[str, ...]:
    """The jobs whose networks it needs now: one that was made already is scored without its source."""
    made = bool(job.source) and study.has_weights(job.id)
    return job.teachers if made else job.needs


def _is_lost(study: Study, job_id: str) -> bool:
    """Whether a job is done and its network is not here any more: weights are not in git."""
    return not study.has_weights(job_id) and not failure(study.record(job_id))


def kind(study: Study, job: Job) -> str:
    """``failed``, ``done`` or, without a record, ``new``."""
    record = study.record(job.id)
    return "failed" if failure(record) else "done" if record else "new"


def states(study: Study, jobs: Sequence[Job], todo: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    """What ``--dry-run`` says of each of ``jobs``: done, to do and why, or how it failed."""
    planned = {job.id: job for job in jobs}
    known = {job.id: job for job in study.jobs()} | planned
    others = [job for job in known.values() if job.id not in planned and _is_done(study, job)]
    for job in jobs:
        if job in todo:
            alike = nearest(job, others)
            record = study.record(job.id)
            if other := lease.holder(study.root, job.id):
                yield job, f"to do: {other} is at it"
            elif alike and record is None:
                yield job, f"to do: done is {alike.id}, with {changes(alike, job, known)}"
            elif is_to_make_again(study, job, todo):
                yield job, "to do again: its weights are not here, and other jobs need them"
            else:
                yield job, "to do"
        elif why := failure(study.record(job.id)):
            yield job, f"{why}; --retry-failed runs it again"
        else:
            yield job, "done" if kind(study, job) == "done" else "to do without --retry-failed"


def is_to_make_again(study: Study, job: Job, todo: Sequence[Job]) -> bool:
    """Whether a done job is to do only because its weights are not here and others need them."""
    done = kind(study, job) == "done" and not study.has_weights(job.id)
    return done and any(job.id in _needed(study, other) for other in todo)


def nearest(job: Job, others: Iterable[Job]) -> Job | None:
    """The job of the same cell and seed that differs in the fewest fields, if there is one."""

    def cell(one: Job) -> tuple[Any, ...]:
        return *(getattr(one, name) for name in SAME), one.recipe if one.source else ""

    alike = [other for other in others if cell(other) == cell(job)]
    return min(alike, key=lambda other: (len(differences(other, job)), other.id), default=None)


def differences(old: Job, new: Job) -> dict[str, tuple[Any, Any]]:
    """The fields in which two jobs differ, the parameters of their methods each by name."""
    before, after = (
        {**job.as_dict(), **dict(job.parameters), "parameters": None, "recipe": None, "taught_by": None}
        for job in (old, new)
    )
    keys = [*before, *(key for key in after if key not in before)]
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def changes(old: Job, new: Job, known: Mapping[str, Job]) -> str:
    """The part of a job's id that changed: ``precision fp32, now bf16``.

    Another teacher or source is named only where nothing else changed, by what changed of it; ``known``:
    jobs by id.
    """
    found = differences(old, new)
    source = found.pop("source", None)
    if source and not found:
        one, other = (known.get(job_id) for job_id in source)
        if one is not None and other is not None:
            return f"another source: {changes(one, other, known)}"
        return f"source {_show(old.source)}, now {_show(new.source)}"
    teachers = found.pop("teachers", None)
    if teachers and not found and len(old.teachers) != len(new.teachers):
        return f"{len(old.teachers)} teachers, now {len(new.teachers)}"
    if teachers and not found:
        before, after = (known.get(ids[0]) if ids else None for ids in teachers)
        if before is not None and after is not None:
            return f"another teacher: {changes(before, after, known)}"
        return f"teachers {_show(old.teachers)}, now {_show(new.teachers)}"
    return "; ".join(f"{name} {_show(one)}, now {_show(other)}" for name, (one, other) in found.items())


def _is_done(study: Study, job: Job) -> bool:
    return (study.record(job.id) or {}).get("status") == "done"


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
