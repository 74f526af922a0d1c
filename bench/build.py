"""From a job to the things it names: its network, method and runtime, and what its training left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

import architectures
import methods
from bench.errors import UserError
from bench.integrity import set_aside
from bench.memory import checkpointed
from bench.runtime import Runtime, can_compile, worth_compiling
from bench.shapes import training_flops
from bench.spec import Job, spec
from bench.store import Study
from methods import Method
from methods.artefact import Artefact


def network(job: Job) -> nn.Module:
    """The job's network with fresh weights.

    Raises:
        UserError: no such network here.
    """
    try:
        return architectures.build(job.architecture, job.spatial_dims, job.in_channels, job.out_channels)
    except ValueError as error:
        raise UserError(f"job {job.id}: {error}") from None


def trainable(job: Job) -> nn.Module:
    """The job's network as it is trained: one that forgets where the job says so."""
    model = network(job)
    return checkpointed(model) if job.checkpointing else model


def method_of(job: Job) -> Method:
    """The job's method.

    Raises:
        UserError: no such method here.
    """
    try:
        return methods.build(spec(job))
    except ValueError as error:
        raise UserError(f"job {job.id}: {error}") from None


def runtime_of(job: Job, device: torch.device) -> Runtime:
    """Where and how the job computes on ``device``."""
    return Runtime(
        device, job.precision, job.threads, job.compiled and can_compile(device), job.micro_batch
    )


def students_own(
    runtime: Runtime,
    job: Job,
    model: nn.Module,
    samples: int,
    on_eager: Callable[[str], None] = lambda reason: None,
) -> Runtime:
    """The runtime of the job's own steps: uncompiled where compiling takes longer than it saves."""
    if not runtime.compiled or worth_compiling(model, training_flops(job, samples), runtime):
        return runtime
    on_eager("compiling would take longer than it saves")
    return replace(runtime, compiled=False)


def load_artefact(study: Study, job: Job) -> Artefact | None:
    """What the job's training left; None where its weights are absent, or were damaged and set aside."""
    if not study.has_weights(job.id):
        return None
    try:
        return read_artefact(study, job)
    except UserError as error:
        if "weights" in (study.record(job.id) or {}).get("files", {}):
            raise  # they are as they were written
        set_aside(study.path("weights", job.id), str(error))
        return None


def read_artefact(study: Study, job: Job) -> Artefact:
    """What the job's file of weights holds.

    Raises:
        UserError: a damaged file, or weights of another network.
    """
    try:
        return method_of(job).load(lambda: network(job), study.path("weights", job.id))
    except ValueError as error:
        raise UserError(f"{error}; remove it, and {job.label} is trained again") from None
