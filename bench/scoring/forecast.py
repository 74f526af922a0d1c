"""What jobs would take before they run: time, disk, memory. For ``--dry-run``; estimates, said as such.

Time is that of done jobs of the same kind in the study, else of a training step of each network, measured
here for a few seconds. Disk and memory follow from shapes; memory that done jobs took goes before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch

from bench.compute.memory import peak_memory_mb
from bench.compute.processes import in_own_process
from bench.compute.quiet import tried
from bench.compute.runtime import Runtime
from bench.job import Job
from bench.planning.estimates import (
    human_bytes,
    recording_bytes,
    rounds_of,
    training_bytes,
    training_flops,
    trains,
    updates_of,
    weight_bytes,
)
from bench.planning.session import Session
from bench.protocol import BATCH_SIZE, EPOCHS
from bench.scoring.precision import SAMPLES
from bench.scoring.trial import step_on_noise
from bench.scoring.workers import makespan
from bench.study.progress import CONVERT_SECONDS

log = logging.getLogger(__name__)

SECONDS = 8.0
"""For all steps that are measured; what is left then follows from the FLOPs of what was."""
WHOLE_SECONDS, REPEATS = 0.5, 3
"""A whole batch whose step takes no longer is measured as such, others by a part. The shortest counts."""
TRIALS = 2
"""Times that it is measured at most while the machine is busy."""
LITTLE_FLOPS = 2e9
"""Of a step: with fewer its time tells of the number of layers, not of their size."""
JOB_SECONDS = 4.0
"""Of a job beside its steps: its process, the gate, scores."""
COMPILER_BYTES = 200e6
"""What a process that has compiled holds more, as records tell."""


@dataclass(frozen=True)
class Forecast:
    """What ``jobs`` would take; ``seconds`` is None where nothing tells."""

    jobs: int
    workers: int
    seconds: float | None
    told_by: str
    target_bytes: int
    weight_bytes: int
    prediction_bytes: int
    heaviest: str
    job_bytes: float
    all_bytes: float

    def lines(self) -> list[str]:
        """For who asked: time, disk, memory."""
        at_a_time = f"{self.workers} at a time" if self.workers > 1 else "one at a time"
        took = "not known" if self.seconds is None else f"about {human_time(self.seconds)}"
        together = f", {human_bytes(self.all_bytes)} for all at a time" if self.workers > 1 else ""
        return [
            f"predicted time: {took} for {self.jobs} jobs, {at_a_time} ({self.told_by})",
            f"predicted targets: {human_bytes(self.target_bytes)}; weights: "
            f"{human_bytes(self.weight_bytes)}; predictions: {human_bytes(self.prediction_bytes)} at most",
            f"predicted memory: {human_bytes(self.job_bytes)} for {self.heaviest}{together}",
        ]


def forecast(session: Session, jobs: Sequence[Job], elsewhere: bool, no_test: bool) -> Forecast:
    """What ``jobs``, teachers before students, would take.

    Args:
        elsewhere: they run on other machines, where nothing can be measured from here.
        no_test: the test set is left unread.
    """
    workers = int(session.settings["workers"])
    done = _done(session)
    peaks = {job.id: _peak(session, job, done) for job in jobs}
    heaviest = max(jobs, key=lambda job: peaks[job.id])
    seconds, told_by = _seconds(session, jobs, elsewhere, done)
    return Forecast(
        jobs=len(jobs),
        workers=workers,
        seconds=seconds,
        told_by=told_by,
        target_bytes=target_bytes(session, jobs),
        weight_bytes=sum(weight_bytes(job) for job in jobs),
        prediction_bytes=sum(_prediction_bytes(session, job, no_test) for job in jobs),
        heaviest=heaviest.architecture,
        job_bytes=peaks[heaviest.id],
        all_bytes=_at_once(session, [(peaks[job.id], job.threads) for job in jobs]),
    )


def target_bytes(session: Session, jobs: Sequence[Job]) -> int:
    """What recording the teachers of ``jobs`` takes on disk, if none is over ``--targets-gb``."""
    recordings: dict[str, list[Job]] = {}
    for job in jobs:
        if job.taught and not job.source:
            recordings.setdefault(session.study.targets_folder(job).name, []).append(job)
    architecture = {job.id: job.architecture for job in jobs}
    total = 0
    for students in recordings.values():
        teacher = next(iter(students[0].teachers), "")
        name = architecture.get(teacher) or (teacher and session.study.job(teacher).architecture)
        total += recording_bytes(students, name, session.prepared_for(students[0]).samples)
    return total


def step_seconds(jobs: Sequence[Job], device: str, budget: float = SECONDS) -> dict[str, float]:
    """Seconds of a training step of each of ``jobs``, by architecture; for a process of its own.

    ``jobs`` are one a network, the lightest first. A network that would go beyond ``budget`` is left out,
    and so are all after it.
    """
    began, found = time.perf_counter(), dict[str, float]()
    rate = 0.0
    for job in jobs:
        torch.set_num_threads(job.threads)
        runtime = Runtime(torch.device(device), job.precision, job.threads, False)
        part = SAMPLES[job.spatial_dims]
        expected = rate * _step_flops(job) * part / BATCH_SIZE
        if found and time.perf_counter() - began + (1 + REPEATS) * expected > budget:
            break
        took = _shortest(job, runtime, part) * BATCH_SIZE / part
        if took < WHOLE_SECONDS:
            took = _shortest(job, runtime, BATCH_SIZE)
        found[job.architecture] = took
        rate = _rate(took, job)
    return found


def _step_flops(job: Job) -> float:
    return training_flops(job, 1) / (rounds_of(job) * updates_of(job, 1))


def _rate(seconds: float, job: Job) -> float:
    """Seconds a FLOP, as a heavier network's step will have it: of a tiny one most is overhead."""
    return seconds / max(_step_flops(job), LITTLE_FLOPS)


def human_time(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``, ``4.2 days``."""
    for unit, size, least in (("days", 86400, 48 * 3600), ("h", 3600, 5400), ("min", 60, 90)):
        if seconds >= least:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


def _shortest(job: Job, runtime: Runtime, samples: int) -> float:
    step = step_on_noise(job, runtime, samples)
    step()
    took = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        step()
        took = min(took, time.perf_counter() - started)
    return took


def _done(session: Session) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """What the study's done jobs took, by kind."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in session.study.records():
        if record["status"] == "done" and record.get("cost", {}).get("seconds"):
            found.setdefault(Job.from_dict(record["job"]).workload, []).append(record["cost"])
    return found


def _seconds(
    session: Session,
    jobs: Sequence[Job],
    elsewhere: bool,
    done: dict[tuple[Any, ...], list[dict[str, Any]]],
) -> tuple[float | None, str]:
    """How long all take, and what tells it."""
    spent: dict[str, float] = {job.id: 0.0 for job in jobs if job.weights}
    for job in jobs:
        if costs := done.get(job.workload):
            own = [sum(v for k, v in cost["seconds"].items() if k != "recording") for cost in costs]
            spent[job.id] = fmean(own) + JOB_SECONDS
    spent |= {job.id: CONVERT_SECONDS for job in jobs if not trains(job) and job.id not in spent}
    rest = sorted((job for job in jobs if job.id not in spent), key=lambda job: training_flops(job, 1))
    told_by = "an estimate from the study's records"
    if rest:
        if elsewhere:
            return None, "jobs run on other machines, and the study has no such records yet"
        one_each = list({job.architecture: job for job in rest}.values())
        trials = tried(
            "forecast",
            lambda: in_own_process(step_seconds, one_each, session.device.type) or {},
            trials=TRIALS,
        )
        found = _fastest(trials.found)
        if not found:
            return None, "a training step did not come through"
        told_by = f"an estimate from a step of {len(found)} of {len(one_each)} networks, uncompiled"
        told_by += f"; {trials.fault}" if trials.fault else ""
        heaviest = one_each[len(found) - 1]
        rate = _rate(found[heaviest.architecture], heaviest)
        for job in rest:
            step = found.get(job.architecture) or rate * _step_flops(job)
            spent[job.id] = step * _steps(session, job) + JOB_SECONDS
    threads = {job.id: job.threads for job in jobs}
    each = int(session.settings["threads"])
    places = max(each * int(session.settings["workers"]), *threads.values())
    return makespan(jobs, spent, threads, dict.fromkeys({*threads.values(), places}, 1.0)), told_by


def _fastest(trials: Sequence[dict[str, float]]) -> dict[str, float]:
    """The shortest step of each network, in the order in which the trial that came farthest met them."""
    farthest: dict[str, float] = max(trials, key=len, default={})
    return {name: min(one[name] for one in trials if name in one) for name in farthest}


def _steps(session: Session, job: Job) -> float:
    """Steps of a job's training, and what validation after each epoch is worth in steps.

    A sample that is only predicted takes a third of one that is learned from.
    """
    samples, split = session.prepared_for(job).samples, session.splits[job.fold or 0]
    validated = samples * len(split.val) / max(1, len(split.train)) / BATCH_SIZE
    return rounds_of(job) * (updates_of(job, samples) + EPOCHS * validated / 3)


def _peak(session: Session, job: Job, done: dict[tuple[Any, ...], list[dict[str, Any]]]) -> float:
    """Memory of the job's process in bytes; on a GPU what it takes there."""
    if not trains(job):
        return 1e6 * peak_memory_mb(torch.device("cpu")) + weight_bytes(job)
    measured = [cost.get("peak_memory_train_mb") for cost in done.get(job.workload, ())]
    if known := [peak for peak in measured if peak]:
        return 1e6 * max(known)
    if session.device.type == "cuda":
        return float(training_bytes(job))
    # Its libraries and data are those of this process.
    loaded = 1e6 * peak_memory_mb(torch.device("cpu"))
    return loaded + training_bytes(job) + (COMPILER_BYTES if job.compiled else 0.0)


def _at_once(session: Session, peaks: list[tuple[float, int]]) -> float:
    """The most that jobs of one number of threads take together, the heaviest at once."""
    threads, workers = int(session.settings["threads"]), int(session.settings["workers"])
    most = 0.0
    for kind in {own for _, own in peaks}:
        at_a_time = max(1, workers * threads // max(kind, threads))
        most = max(
            most, sum(sorted((peak for peak, own in peaks if own == kind), reverse=True)[:at_a_time])
        )
    return most


def _prediction_bytes(session: Session, job: Job, no_test: bool) -> int:
    """Masks as they are packed, before they are compressed."""
    masks, split = session.dataset.masks, session.splits[job.fold or 0]
    part = "val" if no_test else "test"
    voxels = sum(masks[k].size for k in split.indices(session.dataset, part))
    return voxels if len(session.dataset.classes) > 1 else voxels // 8
