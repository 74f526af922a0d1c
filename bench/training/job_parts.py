"""From a job to the things it names: its network, method and runtime, and what its training left."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import architectures
import methods
from bench.compute.compiling import can_compile, worth_compiling
from bench.compute.runtime import Runtime
from bench.errors import UserError
from bench.files.checked import set_aside, unreadable
from bench.files.checksums import digest
from bench.job import Job
from bench.planning.estimates import training_flops
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.artefacts import about_of, open_artefact
from bench.training.recompute import recomputing
from methods import Method
from methods.artefact import Artefact, TorchArtefact, read_about


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
    return recomputing(model) if job.recompute else model


def step_of(job: Job) -> Any:
    """The job's own step: a ``Method`` where it trains, a ``Reshape``, or a ``Convert``.

    Raises:
        UserError: no such step here.
    """
    try:
        return methods.build(job.spec)
    except ValueError as error:
        raise UserError(f"job {job.id}: {error}") from None


def method_of(study: Study, job: Job) -> Method:
    """What the job's network is trained by: its own step, or that of the network that it was made from."""
    method: Method = step_of(study.trained(job))
    return method


def runtime_of(job: Job, device: torch.device) -> Runtime:
    """Where and how the job computes on ``device``."""
    own = {field.name: getattr(job, field.name) for field in fields(Runtime) if field.name != "device"}
    return Runtime(device, **own | {"compiled": job.compiled and can_compile(device)})


def runtime_of_steps(
    runtime: Runtime,
    job: Job,
    model: nn.Module,
    samples: int,
    reporter: Reporter | None = None,
) -> Runtime:
    """The runtime of the job's own steps: uncompiled where compiling takes longer than it saves."""
    if not runtime.compiled or worth_compiling(model, training_flops(job, samples), runtime):
        return runtime
    if reporter is not None:
        reporter.runs_uncompiled("compiling would take longer than it saves")
    return replace(runtime, compiled=False)


def load_artefact(study: Study, job: Job) -> Artefact | None:
    """What the job left; None where its weights are absent, or were damaged and set aside."""
    if not study.has_weights(job.id):
        return None
    try:
        return read_artefact(study, job)
    except UserError as error:
        if "weights" in (study.record(job.id) or {}).get("files", {}):
            raise  # they are as they were written
        set_aside(study.path("weights", job.id), error)
        return None


def read_artefact(study: Study, job: Job) -> Artefact:
    """What the job's file of weights holds.

    Raises:
        UserError: a damaged file, or weights of another network.
    """
    try:
        return open_artefact(study.path("weights", job.id), None if job.source else about_of(job))
    except ValueError as error:
        raise UserError(f"{error}; remove it, and {job.label} is made again") from None


def check_teacher(path: Path, architecture: str, like: Job) -> str:
    """The checksum of a safetensors file, which must hold the teacher's weights and nothing else.

    Args:
        path: what ``--teacher`` names.
        architecture: the teacher's.
        like: a job of the same dimensions and channels.
    """

    def build() -> nn.Module:
        return architectures.build(architecture, like.spatial_dims, like.in_channels, like.out_channels)

    try:
        path.open("rb").close()
        said = read_about(path)
        if said is not None and (said.runtime, said.precision, said.shape) != ("torch", "fp32", None):
            raise ValueError(
                f"{path}: holds a network of {said.runtime} in {said.precision}, not the trained one"
            )
        module = TorchArtefact.load(build, path).module
    except OSError as error:
        otherwise = f"give one with the weights of {architecture}"
        raise UserError(f"--teacher {unreadable(path, error, otherwise)}") from None
    except ValueError as error:
        raise UserError(f"--teacher {error}; give one with the weights of {architecture}") from None
    for name, weight in module.state_dict().items():
        if not bool(weight.isfinite().all()):
            raise UserError(f"--teacher {path}: {name} holds NaN or infinite values; all must be finite")
    return digest(path.read_bytes())
