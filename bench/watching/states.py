"""What the jobs of a matrix are doing, read from the study's folder: records and ``progress/``.

The jobs may run in other processes or on other machines that share the folder; nobody is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.job import Job
from bench.protocol import BATCH_SIZE
from bench.study.progress import CONVERT_SECONDS, read_progress
from bench.study.store import Study


@dataclass(frozen=True)
class State:
    """A job now. ``status`` is ``waiting``, ``running`` or a record's.

    ``dice`` is the validation score so far; ``seconds`` what the job has taken; ``news`` what a running job
    has written, ``silent`` seconds ago.
    """

    job: Job
    status: str
    reason: str = ""
    dice: float | None = None
    seconds: float | None = None
    news: dict[str, Any] = field(default_factory=dict)
    silent: float = 0.0


class Watch:
    """Follows the jobs of one run; of those in ``todo`` only what is written from now on counts."""

    def __init__(self, study: Study, jobs: Sequence[Job], todo: Sequence[Job]) -> None:
        self.study = study
        self.jobs = list(jobs)
        self._old = {job.id: written(study.path("records", job.id)) for job in todo}
        self._final: dict[str, tuple[float, State]] = {}
        for job in todo:  # of a run that was killed; one that goes on elsewhere writes it again
            study.path("progress", job.id).unlink(missing_ok=True)

    def states(self, now: float) -> list[State]:
        """All jobs, in the matrix's order; ``now`` in seconds since the epoch."""
        return [self._state(job, now) for job in self.jobs]

    def _state(self, job: Job, now: float) -> State:
        recorded = written(self.study.path("records", job.id))
        path = self.study.path("progress", job.id)
        told = written(path)
        news = read_progress(path) if told > recorded else None
        if news is not None:
            best = max((row["dice_val"] for row in news["curves"]), default=None)
            silent = max(0.0, now - told)
            return State(job, "running", "", best, news["seconds"] + silent, news, silent)
        if recorded == self._old.get(job.id, 0.0) and (job.id in self._old or not recorded):
            return State(job, "waiting")
        if self._final.get(job.id, (None,))[0] != recorded:
            self._final[job.id] = recorded, final(job, self.study.record(job.id) or {})
        return self._final[job.id][1]


def final(job: Job, record: dict[str, Any]) -> State:
    """What a record says."""
    cost = record.get("cost", {})
    seconds = sum((cost.get("seconds") or {}).values()) or cost.get("train_seconds")
    dice = record.get("val", {}).get("dice")
    return State(job, record.get("status", "failed"), record.get("reason", ""), dice, seconds)


def written(path: Path) -> float:
    """When a file was last written, seconds since the epoch; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def left_of(state: State, expected: Callable[[Job], float | None]) -> float | None:
    """About how many seconds a running job still takes: by its own epochs, else by ``expected``."""
    news = state.news
    if news["phase"] in ("train", "scoring"):
        return max(0.0, (news["left"] or 0.0) - state.silent)
    whole = expected(state.job)
    return None if whole is None else max(0.0, whole - (state.seconds or 0.0))


def expectation(states: Sequence[State]) -> Callable[[Job], float | None]:
    """About how many seconds a job takes: as others of its network did, else by its MACs."""
    took: dict[tuple, list[float]] = {}
    rates = []
    for state in states:
        seconds = state.seconds if state.status == "done" else None
        if state.status == "running" and state.news["phase"] == "train":
            seconds = (state.seconds or 0.0) + (left_of(state, lambda job: None) or 0.0)
        if seconds:
            took.setdefault(state.job.workload, []).append(seconds)
            if not state.job.source:
                rates.append(seconds / flops(state.job))

    def expected(job: Job) -> float | None:
        if job.workload in took:
            return median(took[job.workload])
        if job.source:
            return CONVERT_SECONDS
        return median(rates) * flops(job) if rates else None

    return expected


def seconds_left(states: Sequence[State], workers: int) -> float | None:
    """About how long the whole takes; None while nothing is known about some job."""
    expected = expectation(states)
    running = [left_of(state, expected) for state in states if state.status == "running"]
    waiting = [expected(state.job) for state in states if state.status == "waiting"]
    known = [seconds for seconds in (*running, *waiting) if seconds is not None]
    if len(known) < len(running) + len(waiting):
        return None
    at_once = max(workers, len(running), 1)
    return max([sum(known) / at_once, *known], default=0.0)


def flops(job: Job) -> float:
    """Of a job's training where its set is a small one; only ratios of it mean something."""
    from bench.planning.estimates import training_flops  # loads torch, which ``status`` does without

    return training_flops(job, BATCH_SIZE)
