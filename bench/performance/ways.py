"""Whether the limits that decide how a step is computed decide rightly here: each network in every way.

A step may run compiled or not, and keep its images channels-last or plain. Constants choose between these
four (``bench/compute/compiling.py``, ``Runtime.memory_format``). Here all four are timed.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.compute.device import make_deterministic
from bench.compute.freed_memory import keep_freed_memory
from bench.compute.processes import in_own_process
from bench.compute.runtime import Runtime
from bench.job import Job
from bench.performance.lab import Lab, in_rounds
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.protocol import BATCH_SIZE, EPOCHS, MIN_BATCHES
from bench.scoring.trial import step_on_noise
from bench.training.job_parts import network, runtime_of, runtime_of_steps

UPDATES = EPOCHS * MIN_BATCHES
"""Of the least job: over so many steps compiling must pay for itself."""


@dataclass(frozen=True)
class Way(Runtime):
    """A runtime with a memory format of its own choice."""

    channels_last: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """As asked."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def name(self) -> str:
        """E.g. ``compiled, channels-last``."""
        return _name(self)


def _name(runtime: Runtime) -> str:
    layout = "channels-last" if runtime.memory_format is torch.channels_last else "plain"
    return f"{'compiled' if runtime.compiled else 'uncompiled'}, {layout}"


def measure_ways(lab: Lab) -> list[dict[str, Any]]:
    """A row for each network and precision: seconds of a step and of the first call, in each way.

    The teacher computes on all threads and every student on one, as a matrix that runs two at a time does.
    ``job_over_best`` divides 500 steps and the first call of the chosen way by those of the best way;
    ``step_over_best`` divides the steps alone, as where a cache has the compiled code.
    """
    rows = []
    for precision, name in itertools.product(
        reversed(lab.precisions), (*lab.scale.ways, lab.scale.teacher)
    ):
        threads = lab.session.settings["threads"] if name == lab.scale.teacher else 1
        job = _job(lab, name, precision, threads)
        chosen = _chosen(lab, job)
        base = replace(chosen, compiled=False)
        own = in_own_process(_time, job, base, lab.scale.rounds, lab.scale.compiled)
        if own is not None:
            rows.append({"network": name, "precision": precision, "threads": threads} | _row(own, chosen))
    return rows


def _row(own: Mapping[str, Mapping[str, float]], chosen: Runtime) -> dict[str, Any]:
    name = _name(chosen)
    jobs = {way: UPDATES * seconds["step"] + seconds["first"] for way, seconds in own.items()}
    steps = {way: seconds["step"] for way, seconds in own.items()}
    return {
        "chosen": name,
        "best": min(jobs, key=lambda way: jobs[way]),
        "job_over_best": jobs[name] / min(jobs.values()),
        "step_over_best": steps[name] / min(steps.values()),
        "ways": own,
    }


def _job(lab: Lab, name: str, precision: str, threads: int) -> Job:
    setting = lab.session.setting(lab.scale.image_size)
    matrix = parse_matrix({"teacher": name, "students": [name]}, "ways")
    return replace(next(iter(cells(matrix, setting))).job, precision=precision, threads=threads)


def _chosen(lab: Lab, job: Job) -> Runtime:
    """What the job would compute with here."""
    runtime = runtime_of(job, lab.session.device)
    return runtime_of_steps(runtime, job, network(job), len(lab.session.split.train))


def _time(job: Job, base: Runtime, rounds: int, compiled: bool) -> dict[str, dict[str, float]]:
    """Seconds of a step and of the first call, in each way; for a process of its own, nothing compiled."""
    torch.set_num_threads(base.threads)
    make_deterministic()
    keep_freed_memory()
    own = (base.device, base.precision, base.threads)
    ways = [
        Way(*own, compiled=compile_, channels_last=last)
        for compile_, last in itertools.product((False, True) if compiled else (False,), (False, True))
    ]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        calls = {way.name: step_on_noise(job, way, BATCH_SIZE) for way in ways}
        first = in_rounds(calls, 1)
        in_rounds(calls, 1)
        values = in_rounds(calls, 2 * rounds)
    return {key: {"step": statistics.median(values[key]), "first": first[key][0]} for key in calls}
