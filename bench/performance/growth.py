"""How cost grows: time and memory of a step with the image's side, time with slices and with jobs."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

import architectures
import methods
from bench.compute.device import make_deterministic
from bench.compute.freed_memory import give_back_freed_memory
from bench.compute.macs import forward_macs
from bench.compute.memory import peak_mb, reset_peak
from bench.compute.processes import in_own_process
from bench.compute.runtime import Runtime
from bench.performance.lab import Lab, as_in_a_job, in_rounds
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.protocol import BATCH_SIZE
from bench.running.executors import local
from bench.running.job_process import run_job
from bench.telling import told_to
from bench.training.step import Updater, batches

Arrays = tuple[NDArray, NDArray, dict[str, NDArray]]


def measure_growth(lab: Lab) -> dict[str, list[dict[str, Any]]]:
    """``combined`` on the smallest student, in the study's precision; jobs: whole small ones."""
    return {"side": _side(lab), "slices": _slices(lab), "jobs": _jobs(lab)}


def _side(lab: Lab) -> list[dict[str, Any]]:
    student, precision = lab.scale.students[-1], lab.precisions[-1]
    dataset, calls, memory = lab.session.dataset, {}, {}
    for side in lab.scale.sides:
        source, stream = lab.recording(precision, side)(), lab.short(side)
        steps = lab.job_steps(student, "combined", precision, stream, source)
        calls[side] = as_in_a_job(steps)
        x, y, kept = next(iter(batches(stream, lab.runtime(precision), 0, source)))
        arrays = (x.cpu().numpy(), y.cpu().numpy(), {k: v.cpu().numpy() for k, v in kept.items()})
        memory[side] = in_own_process(
            step_memory_mb, student, dataset.out_channels, lab.runtime(precision), arrays
        )
    in_rounds(calls, 1)  # warms up and compiles
    values = in_rounds(calls, lab.scale.rounds)
    return [
        {
            "side": side,
            "seconds": statistics.median(values[side]) / lab.scale.steps,
            "gmacs": forward_macs(student, 2, dataset.in_channels, dataset.out_channels, side) / 1e9,
            "memory_mb": memory[side],
        }
        for side in lab.scale.sides
    ]


def _slices(lab: Lab) -> list[dict[str, Any]]:
    """One epoch over a growing part of the training set; ``baseline``, for only a part is recorded."""
    train = len(lab.session.split.train)
    counts = sorted({max(1, int(train * s) // BATCH_SIZE) * BATCH_SIZE for s in lab.scale.shares_of_slices})
    calls = {
        count: as_in_a_job(
            lab.job_steps(lab.scale.students[-1], "baseline", lab.precisions[-1], lab.stream(count))
        )
        for count in counts
    }
    in_rounds(calls, 1)  # warms up and compiles
    values = in_rounds(calls, lab.scale.rounds)
    return [{"slices": count, "seconds": statistics.median(own)} for count, own in values.items()]


def _jobs(lab: Lab) -> list[dict[str, Any]]:
    """Whole jobs of a tiny network on tiny synthetic slices, by the executor, one at a time, one thread."""

    def run(count: int) -> None:
        matrix = parse_matrix(
            {"teacher": "unet-2-4", "students": ["unet-2"], "methods": ["baseline"],
             "seeds": list(range(count)), "image_size": 16}, "performance")  # fmt: skip
        root = Path(tempfile.mkdtemp(dir=lab.scratch)) / "study"
        options = Options(dataset="phantom", device="cpu", precision="fp32", targets_gb=0.0, no_test=True)
        session = open_session(root, options)
        session = replace(session, settings=session.settings | {"threads": 1})
        session.begin()
        jobs = [cell.job for cell in cells(matrix, session.setting(16), only="unet-2:*")]
        for job in jobs:
            session.study.plan(job)
        with told_to(lambda line: None):
            failed = local.run(session.study, jobs, quiet_job, options)
        if failed:
            raise RuntimeError(f"{root}: a job failed; its record says why")

    run(1)  # starts the server that jobs are forked from
    values = in_rounds({count: partial(run, count) for count in lab.scale.jobs}, lab.scale.rounds)
    return [{"jobs": count, "seconds": statistics.median(own)} for count, own in values.items()]


def quiet_job(root: Path, job_id: str, options: Options, quiet: bool = False) -> int:
    """``run_job`` without its progress."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        return run_job(root, job_id, options, quiet)


def step_memory_mb(name: str, out_channels: int, runtime: Runtime, batch: Arrays) -> float:
    """What a step takes at its peak beyond what the process holds between steps, in MB.

    For a process of its own; its first step, which compiles, is left out.
    """
    torch.set_num_threads(runtime.threads)
    make_deterministic()
    images, labels, kept = batch
    x = torch.from_numpy(images).to(runtime.device).contiguous(memory_format=runtime.memory_format)
    y = torch.from_numpy(labels).to(runtime.device)
    targets = {k: torch.from_numpy(v).to(runtime.device) for k, v in kept.items()}
    model = architectures.build(name, 2, images.shape[1], out_channels).train()
    runtime.place(model, 2)
    update = Updater(model, methods.build("combined"), runtime, "dice-bce")
    update(x, y, targets)
    if runtime.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(runtime.device)
        before = torch.cuda.memory_allocated(runtime.device) / 1e6
        update(x, y, targets)
        return torch.cuda.max_memory_allocated(runtime.device) / 1e6 - before
    give_back_freed_memory()  # else the step would take what the first one left
    before = reset_peak()
    update(x, y, targets)
    return peak_mb() - before
