"""fp32 or bf16? Asked of the machine when a study begins: training steps in both, the faster is taken.

What a processor says of itself does not decide: it may have bf16 and be slower in it.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from bench.compute.processes import in_own_process
from bench.compute.quiet import UNSTEADY, tried, uneven
from bench.compute.runtime import Runtime
from bench.job import Job
from bench.planning.estimates import training_flops, updates_of
from bench.planning.session import Session
from bench.protocol import BATCH_SIZE
from bench.scoring.trial import MEASURE_FROM_FLOPS, step_on_noise, training_work
from bench.study.progress import duration

log = logging.getLogger(__name__)

PRECISIONS = ("fp32", "bf16")
SAMPLES = {2: 4, 3: 1}
"""Of a batch, by spatial dimensions: the ratio of two precisions needs no whole batch, nor its memory."""
ROUNDS, SECONDS = 4, 30.0
"""Steps of each network in each precision after the first, and when no further network is measured."""

Times = dict[tuple[str, str], list[float]]
"""Seconds of each step by (architecture, precision)."""


def is_worth_asking(session: Session, jobs: Sequence[Job]) -> bool:
    """Whether there is enough work to make it matter."""
    return training_work(session, jobs)[2] >= MEASURE_FROM_FLOPS


def ask_precision(session: Session, jobs: Sequence[Job]) -> Session:
    """A new study's session with the precision in which all steps of ``jobs`` take least."""
    if not is_worth_asking(session, jobs):
        return session
    log.info(f"precision: timing steps in {' and '.join(PRECISIONS)}, {SECONDS:.0f} s at most at a time")
    trained, cases, _ = training_work(session, jobs)
    heaviest_first = sorted(trained, key=lambda job: -training_flops(job, cases))
    times, disturbed = _quiet_times(list({j.architecture: j for j in heaviest_first}.values()), session)
    steps: Counter[str] = Counter()
    for job in trained:
        steps[job.architecture] += updates_of(job, cases)
    parts = BATCH_SIZE / SAMPLES[trained[0].spatial_dims]
    found: dict[str, Any] = dict.fromkeys(PRECISIONS, 0.0)
    for (name, precision), own in times.items():
        found[precision] += parts * steps[name] * min(own)
    if not all(found.values()):
        log.info("precision: a trial of bf16 did not come through: fp32 in this study")
        return session
    chosen = min(PRECISIONS, key=lambda precision: found[precision])
    noise = f", {disturbed}" if disturbed else ""
    log.info(
        f"precision: the steps of all jobs take {duration(found['fp32'])} in fp32, "
        f"{duration(found['bf16'])} in bf16 (uncompiled, measured{noise}): {chosen} in this study"
    )
    found |= {"networks": sorted({name for name, _ in times}), "busy": bool(disturbed)}
    return replace(session, settings=session.settings | {"precision": chosen, "measured_precision": found})


def _quiet_times(jobs: list[Job], session: Session) -> tuple[Times, str]:
    """Times of one job a network, measured again while something disturbs them; what still did."""

    def measure() -> Times:
        return in_own_process(_times, jobs, session.device.type, session.settings["threads"]) or {}

    def fault(times: Times) -> str:
        return UNSTEADY if any(map(uneven, times.values())) else ""

    trials = tried("precision", measure, fault)
    found: Times = {}
    for times in trials.found:
        for key, own in times.items():
            found[key] = found.get(key, []) + own
    return found, trials.fault


def _times(jobs: list[Job], device: str, threads: int) -> Times:
    """Steps of each network in both precisions in turn; for a process of its own."""
    torch.set_num_threads(threads)
    began, found = time.perf_counter(), Times()
    for job in jobs:
        samples = SAMPLES[job.spatial_dims]
        steps = {
            name: step_on_noise(job, Runtime(torch.device(device), name, threads, False), samples)
            for name in PRECISIONS
        }
        for step in steps.values():
            step()
        for _ in range(ROUNDS):
            for precision, step in steps.items():
                started = time.perf_counter()
                step()
                found.setdefault((job.architecture, precision), []).append(time.perf_counter() - started)
            if time.perf_counter() - began > SECONDS:
                break
        if time.perf_counter() - began > SECONDS:
            break
    return found
