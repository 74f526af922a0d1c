"""Facts about networks that follow from shapes alone: nothing is computed, on torch's meta device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch

import architectures
import methods
from bench.compute.macs import forward_macs
from bench.job import Job
from bench.protocol import BATCH_SIZE, EPOCHS, epoch_batches


@cache
def taps(architecture: str, spatial_dims: int) -> frozenset[tuple[str, int]]:
    """The tap keys of a network, found without computing anything."""
    with torch.device("meta"):
        model = architectures.build(architecture, spatial_dims)
        x = torch.zeros(1, 1, *[2 * architectures.stride(architecture)] * spatial_dims)
        return frozenset(model.forward_intermediates(x)[1])  # type: ignore[operator]


def target_sizes(job: Job, teacher: str) -> dict[str, int]:
    """Values a sample of each target that ``job`` keeps of ``teacher``, found without computing."""
    with torch.device("meta"):
        model = architectures.build(teacher, job.spatial_dims, job.in_channels, job.out_channels)
        x = torch.zeros(1, job.in_channels, *job.shape)
        outputs = methods.Outputs(*model.forward_intermediates(x))  # type: ignore[operator]
        labels = torch.zeros(1, *x.shape[2:], dtype=torch.uint8)
        kept = methods.build(job.spec).targets(outputs, labels)
    return {name: value.numel() for name, value in kept.items()}


def recording_bytes(students: Sequence[Job], teacher: str, train_cases: int) -> int:
    """The size of one recording of ``teacher`` for all ``students`` together."""
    sizes = {name: size for job in students for name, size in target_sizes(job, teacher).items()}
    samples = updates_of(students[0], train_cases) * BATCH_SIZE
    return sum(2 * size + 1 for size in sizes.values()) * samples


def updates_of(job: Job, train_cases: int) -> int:
    """Updates that the job's training takes; ``train_cases`` are the samples that make an epoch."""
    return EPOCHS * epoch_batches(train_cases, job.updates)


def training_flops(job: Job, train_cases: int) -> float:
    """FLOPs of all forward and backward passes of a job (three forward passes' worth a step)."""
    macs = forward_macs(job.architecture, job.spatial_dims, job.in_channels, job.out_channels, job.shape)
    return 6.0 * macs * BATCH_SIZE * updates_of(job, train_cases)


def human_bytes(count: float) -> str:
    """``537 MB``."""
    power = min(4, int(math.log(max(count, 1), 1000)))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
