"""``--memory-gb``: how many samples at a time fit, measured before training and kept for the whole study.

Each candidate runs two steps of training and the validation of one case in a process of its own, with
the study's data loaded, as a job would; its peak is what a job's record calls ``peak_memory_train_mb``.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import methods
from bench.compute.memory import peak_memory_mb
from bench.compute.processes import in_own_process
from bench.data.decoded import keep_decoded
from bench.data.prepared import Scored
from bench.data.stream import SampleStream
from bench.errors import UserError, brief
from bench.job import Job
from bench.planning.options import Options
from bench.planning.session import Session, open_session
from bench.protocol import BATCH_SIZE
from bench.scoring.evaluation import validation_dice
from bench.training import targets
from bench.training.can_learn import check_can_learn
from bench.training.job_parts import network, runtime_of, runtime_of_steps, trainable
from bench.training.loop import train
from bench.training.several import together
from bench.training.step import Targets, Task

log = logging.getLogger(__name__)

SIZES = tuple(2**k for k in range(BATCH_SIZE.bit_length()))
"""Candidates: powers of two that divide the batch."""
HOPELESS = 1.5
"""A candidate whose extrapolated peak is that many times over budget isn't tried."""


def choose_micro_batch(
    session: Session, options: Options, jobs: Sequence[Job], gb: float
) -> dict[str, Any]:
    """The settings that fit every network of ``jobs`` into ``gb``: the largest number of samples at a time.

    Raises:
        UserError: not even one sample fits.
    """
    root = session.study.root
    fresh = not root.exists()
    keep_decoded(root / "cache", session.dataset)
    try:
        chosen, peaks = _largest_that_fits(root, options, _heaviest(jobs), gb)
    except UserError:
        shutil.rmtree(root if fresh else root / "cache")
        raise
    return {"memory_gb": gb, "micro_batch": chosen, "memory_probe_mb": peaks}


def _largest_that_fits(
    root: Path, options: Options, jobs: Sequence[Job], gb: float
) -> tuple[int, dict[str, float]]:
    peaks: dict[int, float] = {}
    for size in SIZES:
        known = list(peaks.values())
        if len(known) > 1 and known[-1] + 2 * (known[-1] - known[-2]) > HOPELESS * gb * 1e3:
            break
        peaks[size] = 0.0
        for job in jobs:
            peak = measure(root, options, replace(job, micro_batch=size))
            log.info(
                f"memory: {job.architecture}, {size} of {BATCH_SIZE} samples at a time: {peak:,.0f} MB"
            )
            peaks[size] = max(peaks[size], peak)
            if peak > gb * 1e3 and size == 1:
                raise UserError(
                    f"--memory-gb {gb:g}: {job.architecture} needs {peak / 1e3:.2f} GB for one sample at a "
                    "time; try --checkpointing, a smaller --image-size or a larger budget"
                )
        if peaks[size] > gb * 1e3:
            break
    fitting = [size for size, peak in peaks.items() if peak <= gb * 1e3]
    log.info(f"memory: {fitting[-1]} of {BATCH_SIZE} samples at a time in this study, from now on")
    return fitting[-1], {str(size): peak for size, peak in peaks.items()}


def _heaviest(jobs: Sequence[Job]) -> list[Job]:
    """One job per network: of its methods one that needs the most of a teacher."""

    def need(job: Job) -> tuple[bool, bool]:
        method = methods.build(job.spec)
        return method.needs_teacher, method.needs_taps

    chosen: dict[str, Job] = {}
    for job in (job for job in jobs if not job.source):
        if job.architecture not in chosen or need(job) > need(chosen[job.architecture]):
            chosen[job.architecture] = job
    teachers = {job.id: job for job in jobs}
    return [
        replace(job, teachers=tuple(teachers[t].architecture for t in job.teachers if t in teachers))
        for job in chosen.values()
        if not job.weights
    ]


def measure(root: Path, options: Options, job: Job) -> float:
    """Peak memory in MB of two steps of ``job``; infinite where the system ended it for its memory.

    ``job.teachers`` are names of architectures here.
    """
    peak = in_own_process(_peak_of_first_steps, root, options, job)
    if isinstance(peak, str):
        raise UserError(f"--memory-gb: {job.architecture} could not be measured ({peak})")
    return float("inf") if peak is None else peak


def _peak_of_first_steps(root: Path, options: Options, job: Job) -> float | str:
    """The peak, or why there is none."""
    try:
        session = open_session(root, options)
        first_steps(session, job)
        return peak_memory_mb(session.device)
    except (MemoryError, torch.OutOfMemoryError):
        return float("inf")
    except Exception as error:
        return brief(error)


def first_steps(session: Session, job: Job) -> None:
    """Gate, the first two updates and the validation of one case, with untrained networks."""
    prepared = session.prepared_for(job)
    stream = SampleStream.of(job, prepared, epochs=1, steps_at_most=2)
    runtime = runtime_of(job, session.device)
    torch.set_num_threads(job.threads)
    model, method = trainable(job), methods.build(job.spec)
    check_can_learn(model, stream, job.out_channels, job.seg_loss, session.device, job.micro_batch)
    teaching = None
    if job.teachers:
        teacher = together([network(replace(job, architecture=name)) for name in job.teachers])
        teaching = Targets(targets.unpacked(targets.live(teacher, [method], stream, runtime)))
    first = _first_case(prepared.val)
    own = runtime_of_steps(runtime, job, model, prepared.samples)
    task = Task(model, method, stream, own, job.seg_loss, teaching)
    classes = session.dataset.classes
    train(task, validate=lambda model: validation_dice(model, first, classes, session.device))


def _first_case(part: Scored) -> Scored:
    kept = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    patch = kept.pop("patch")
    return Scored(**{name: values[:1] for name, values in kept.items()}, patch=patch)
