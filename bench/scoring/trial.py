"""What the trials before a new study share: whether measuring is worth its time, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

import methods
from bench.compute.runtime import Runtime
from bench.job import Job
from bench.planning.estimates import training_flops, trains
from bench.planning.session import Session
from bench.training.job_parts import trainable
from bench.training.step import Updater

MEASURE_FROM_FLOPS = 50e12
"""Training work of a matrix from which ten to fifteen seconds of measuring are well spent."""


def training_work(session: Session, jobs: Sequence[Job]) -> tuple[list[Job], int, float]:
    """The jobs that train, the training cases of each, and the FLOPs of all of them together."""
    trained = [job for job in jobs if trains(job)]
    cases = session.prepared_for(trained[0]).samples if trained else 0
    return trained, cases, sum(training_flops(job, cases) for job in trained)


def step_on_noise(job: Job, runtime: Runtime, samples: int) -> Callable[[], object]:
    """A training step of the job's network on ``samples`` of noise; the first one is slower."""
    model = trainable(job).train()
    runtime.place(model, job.spatial_dims)
    update = Updater(model, methods.build("baseline"), runtime, job.seg_loss)
    x = torch.rand(samples, job.in_channels, *job.shape, device=runtime.device)
    if job.spatial_dims == 2:
        x = x.contiguous(memory_format=runtime.memory_format)
    classes = max(2, job.out_channels)
    y = torch.randint(0, classes, (samples, *job.shape), dtype=torch.uint8, device=runtime.device)
    return lambda: update(x, y, {})
