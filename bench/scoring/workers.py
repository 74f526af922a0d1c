"""One job of all cores, or several of one core each? Measured when a study begins, and kept in it."""

from __future__ import annotations

import heapq
import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.compute.cores import usable_cores
from bench.compute.processes import own_processes, process_context
from bench.compute.quiet import UNSTEADY, tried, uneven
from bench.compute.runtime import Runtime
from bench.errors import brief
from bench.job import Job
from bench.planning.estimates import training_flops
from bench.planning.session import Session
from bench.protocol import BATCH_SIZE
from bench.scoring.trial import MEASURE_FROM_FLOPS, step_on_noise, training_work

log = logging.getLogger(__name__)

ROUNDS, SECONDS = 3, 1.0
PLAUSIBLE = 1.5
"""So many times the cores is the most that several jobs can do of one: it would be the cores, if threads
helped a tiny network nothing, and threads may even hinder."""
GAIN = 0.97
"""Several at a time must be predicted to take at most this share of one at a time."""
PATIENCE_SECONDS = 300.0

Rounds = list[tuple[float, float]]
"""Steps per second of one process with all cores, and of one process a core together."""
Rates = Callable[[Job, int], tuple[Rounds, str]]


def fill_machine(
    session: Session,
    jobs: Sequence[Job],
) -> Session:
    """A new study's session, its ``workers`` and threads as suit this machine and these jobs."""
    if not is_worth_measuring(session, jobs):
        return session
    cores = usable_cores()
    log.info(f"workers: timing {cores} jobs of one thread against one of {cores}, some seconds")
    trained, cases, _ = training_work(session, jobs)
    choice = choose(trained, cases, cores, rates)
    log.info(_chosen(choice, cores))
    return replace(session, settings=session.settings | choice)


def _chosen(choice: dict[str, Any], cores: int) -> str:
    """What was measured, what follows, and what there is to doubt about it, in a line."""
    found, alone = choice["measured"], ", a teacher alone" if "teacher_threads" in choice else ""
    if not found["ratio"]:
        return f"workers: no trial of {cores} jobs at once was usable ({found['doubt']}): one at a time"
    doubt = f" ({found['doubt']})" if found["doubt"] else ""
    return (
        f"workers: {cores} jobs of one thread do {found['ratio']:.2f} times the steps of one with {cores}; "
        f"all jobs would take {found['predicted_share_of_time']:.2f} of the time: "
        f"{choice['workers']} at a time{alone}{doubt}"
    )


def is_worth_measuring(session: Session, jobs: Sequence[Job]) -> bool:
    """Whether there is a choice, and enough work to make it matter."""
    trained, _, work = training_work(session, jobs)
    several = len(trained) > 1 and usable_cores() > 1
    return session.device.type == "cpu" and several and work >= MEASURE_FROM_FLOPS


def choose(jobs: Sequence[Job], train_cases: int, cores: int, measure: Rates) -> dict[str, Any]:
    """What ``study.json`` keeps: ``workers``, ``threads``, ``teacher_threads`` if others, the measurement.

    A training step of the smallest network is measured (uncompiled) in one process with all cores, and
    in one process a core at the same time. The ratio of their steps per second goes into a prediction
    for these very jobs: students wait for their teacher. It may have a core like the others, or, where
    cores would stand idle meanwhile, all of them.
    """
    smallest = min(jobs, key=lambda job: training_flops(job, train_cases))
    rounds, doubt = measure(smallest, cores)
    taught = {teacher for job in jobs for teacher in job.teachers}
    choice = {"workers": 1, "threads": cores}
    ratio = share = 0.0
    if rounds:
        work = {job.id: training_flops(job, train_cases) for job in jobs}
        ratio = _ratio(rounds)

        def predicted(threads: int, teachers: int) -> float:
            each = {job.id: teachers if job.id in taught else threads for job in jobs}
            return makespan(jobs, work, each, {1: ratio / cores, cores: 1.0})

        alike, apart = (predicted(1, teachers) / predicted(cores, cores) for teachers in (1, cores))
        share = min(alike, apart)
        if share <= GAIN:
            choice = {"workers": cores, "threads": 1}
            choice |= {"teacher_threads": cores} if apart < alike else {}
    return choice | {
        "measured": {
            "network": smallest.architecture,
            "image_size": smallest.image_size,
            "precision": smallest.precision,
            "steps_per_second_one_job": [alone for alone, _ in rounds],
            f"steps_per_second_{cores}_jobs": [together for _, together in rounds],
            "ratio": ratio,
            "predicted_share_of_time": share,
            "doubt": doubt,
        },
    }


def makespan(
    jobs: Sequence[Job],
    work: Mapping[str, float],
    threads: Mapping[str, int],
    speeds: Mapping[int, float],
) -> float:
    """When the last job ends, in the unit of ``work`` over that of ``speeds``.

    Jobs start in order as the local executor starts them, each with its ``threads`` of all cores;
    ``speeds`` are by number of threads, the most of them all there are. Students wait for their teacher,
    and for the recording of its targets: a third of its training's work, done with the threads of the
    first of them.
    """
    tasks: dict[str, tuple[float, int, set[str]]] = {}
    for job in jobs:
        needed = {teacher for teacher in job.teachers if teacher in tasks}
        if needed and not job.source:
            recording = "recording " + " ".join(job.teachers)
            third = sum(tasks[teacher][0] for teacher in needed) / 3
            tasks.setdefault(recording, (third, threads[job.id], needed))
            needed = {recording}
        if job.source in tasks:
            needed = {job.source}
        tasks[job.id] = (work[job.id], threads[job.id], needed)
    waiting, running, now, free = list(tasks), list[tuple[float, str]](), 0.0, max(speeds)
    while waiting or running:
        unfinished = {*waiting, *(name for _, name in running)}
        for name in [one for one in waiting if not unfinished & tasks[one][2]]:
            own, taken, _ = tasks[name]
            if taken > free:
                break
            free -= taken
            heapq.heappush(running, (now + own / speeds[taken], name))
            waiting.remove(name)
        now, ended = heapq.heappop(running)
        free += tasks[ended][1]
    return now


def rates(job: Job, cores: int) -> tuple[Rounds, str]:
    """The rounds of a trial, and what there is to doubt about it.

    It is repeated, within a bound, while the machine is busy, rounds differ much, or the ratio can't be. Of
    doubtful trials the one with the most steps counts, for it was disturbed least; none is left where all
    have ratios that can't be, or a process did not come through.
    """

    def measure() -> Rounds:
        return [(_together(job, 1, cores), _together(job, cores, 1)) for _ in range(ROUNDS)]

    try:
        trials = tried("workers", measure, lambda rounds: _fault(rounds, cores))
    except Exception as error:
        log.warning(f"the trial ended with {brief(error)}")
        return [], "a process did not come through"
    if not trials.fault:
        return trials.found[-1], ""
    usable = [rounds for rounds in trials.found if _ratio(rounds) <= PLAUSIBLE * cores]
    return max(usable, key=lambda rounds: sum(map(sum, rounds)), default=[]), trials.fault


def _ratio(rounds: Rounds) -> float:
    return statistics.median(together / alone for alone, together in rounds)


def _fault(rounds: Rounds, cores: int) -> str:
    """Why rounds of a quiet machine can't be right; empty if they can."""
    if _ratio(rounds) > PLAUSIBLE * cores:
        return f"{cores} jobs of one thread can't be {_ratio(rounds):.1f} times as fast as one with {cores}"
    columns = [[1 / rate for rate in column] for column in zip(*rounds, strict=True)]
    return UNSTEADY if any(map(uneven, columns)) else ""


_barrier: Any = None
"""In a process of the trial: where all wait for each other."""


def _together(job: Job, processes: int, threads: int) -> float:
    barrier = process_context().Barrier(processes)
    with own_processes(processes, _wait_at, barrier) as pool:
        started = [pool.submit(_steps, job, threads) for _ in range(processes)]
        return sum(one.result() for one in started)


def _wait_at(barrier: Any) -> None:
    global _barrier  # noqa: PLW0603
    _barrier = barrier


def _steps(job: Job, threads: int) -> float:
    """Steps per second while the others are at it as well."""
    torch.set_num_threads(threads)
    runtime = Runtime(torch.device("cpu"), job.precision, threads, False, job.micro_batch)
    step = step_on_noise(job, runtime, BATCH_SIZE)
    step()
    _barrier.wait(PATIENCE_SECONDS)
    started, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < SECONDS:
        step()
        steps += 1
    return steps / spent
