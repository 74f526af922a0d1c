"""Facts about networks that follow from shapes alone: nothing is computed, on torch's meta device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import architectures
import methods
from bench.compute.macs import forward_macs
from bench.compute.without_computing import without_computing
from bench.errors import brief
from bench.job import Job
from bench.protocol import BATCH_SIZE, EPOCHS, epoch_batches


@dataclass(frozen=True)
class Probe:
    """What a network is on some input, found without computing anything; ``reason``: why it can't take it.

    ``taps`` is None where the network has no ``forward_intermediates``.
    """

    taps: frozenset[tuple[str, int]] | None = None
    reason: str = ""


def probe(architecture: str, job: Job) -> Probe:
    """Try a network on the input that ``job`` has, on torch's meta device."""
    return _probe(architecture, job.spatial_dims, job.in_channels, job.out_channels, job.shape)


@cache
def _probe(
    architecture: str, spatial_dims: int, in_channels: int, out_channels: int, sides: tuple[int, ...]
) -> Probe:
    said = architectures.supports(architecture, spatial_dims, sides)
    if said:
        return Probe(reason=f"{architecture}: {said}")

    @torch.no_grad()
    def try_it() -> Probe:
        model = architectures.build(architecture, spatial_dims, in_channels, out_channels)
        # In training mode as in a job, and two samples: some normalise what one hasn't.
        x = torch.zeros(2, in_channels, *sides)
        if not hasattr(model, "forward_intermediates"):
            return _probed(architecture, model(x), None)
        taps: Callable[[torch.Tensor], tuple] = model.forward_intermediates  # type: ignore[assignment]
        return _probed(architecture, *taps(x))

    try:
        return without_computing(try_it)
    except Exception as error:  # whatever a network says to an input that it can't take
        size = "x".join(map(str, sides))
        return Probe(reason=f"{architecture} can't take {size} in {spatial_dims}-D ({brief(error)})")


def _probed(architecture: str, logits: Any, taps: Iterable[tuple[str, int]] | None) -> Probe:
    if isinstance(logits, torch.Tensor):
        return Probe(None if taps is None else frozenset(taps))
    kind = type(logits).__name__
    return Probe(reason=f"{architecture} gives a {kind}; its output must be one tensor of logits")


def target_sizes(job: Job, teacher: str) -> dict[str, int]:
    """Values a sample of each target that ``job`` keeps of ``teacher``, found without computing.

    ``teacher`` is a network's name, or empty for maps.
    """
    method = methods.build(job.spec)

    def ask() -> dict[str, int]:
        x = torch.zeros(1, job.in_channels, *job.shape)
        if teacher:
            model = architectures.build(teacher, job.spatial_dims, job.in_channels, job.out_channels).eval()
            outputs = methods.outputs_of(model, x, method.needs_taps)
        else:
            outputs = methods.Outputs(torch.zeros(1, job.out_channels, *job.shape), {})
        labels = torch.zeros(1, *x.shape[2:], dtype=torch.uint8)
        kept = method.targets(outputs, labels)
        return {name: value.numel() for name, value in kept.items()}

    return without_computing(ask)


def recording_bytes(students: Sequence[Job], teacher: str, train_cases: int) -> int:
    """The size of one recording of ``teacher`` for all ``students`` together."""
    sizes = {name: size for job in students for name, size in target_sizes(job, teacher).items()}
    samples = updates_of(students[0], train_cases) * BATCH_SIZE
    return sum(2 * size + 1 for size in sizes.values()) * samples


def trains(job: Job) -> bool:
    """Whether the job trains a network: not where it was given, and not where it is converted."""
    return not job.weights and methods.build(job.spec).kind != "convert"


def updates_of(job: Job, train_cases: int) -> int:
    """Updates that the job's training takes; ``train_cases`` are the samples that make an epoch."""
    return EPOCHS * epoch_batches(train_cases, job.updates)


def rounds_of(job: Job) -> int:
    """How often the job trains for its updates: twice where it is the control of what trains on."""
    step = methods.build(job.spec)
    return 2 if isinstance(step, methods.Reshape) and step.fresh else 1


def training_flops(job: Job, train_cases: int) -> float:
    """FLOPs of all forward and backward passes of a job (three forward passes' worth a step)."""
    macs = forward_macs(job.architecture, job.spatial_dims, job.in_channels, job.out_channels, job.shape)
    return 6.0 * macs * BATCH_SIZE * rounds_of(job) * updates_of(job, train_cases)


def weight_bytes(job: Job) -> int:
    """The size of a job's network as it is kept."""
    return _bytes(job.architecture, job.spatial_dims, job.in_channels, job.out_channels, job.shape)[0]


def training_bytes(job: Job) -> int:
    """Memory of a training step in fp32: weights, gradients, Adam's two moments, what backward needs.

    A job that recomputes, or computes in bf16, takes less.
    """
    own = _bytes(job.architecture, job.spatial_dims, job.in_channels, job.out_channels, job.shape)
    return 4 * own[0] + own[1] * job.micro_batch


@cache
def _bytes(
    architecture: str, spatial_dims: int, in_channels: int, out_channels: int, sides: tuple[int, ...]
) -> tuple[int, int]:
    """Of a network: its weights, and what a sample takes in training."""

    def ask() -> tuple[int, int]:
        model = architectures.build(architecture, spatial_dims, in_channels, out_channels).train()
        x = torch.zeros(2, in_channels, *sides)  # two: so many normalise where one can't
        return _bytes_of(model, x)

    return without_computing(ask)


def _bytes_of(model: torch.nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """The same, found by one forward pass over the batch ``x``."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(x)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage()._cdata, None)
    # The largest activation's gradient and the next one's are there beside them, and the loss's terms.
    a_batch = sum(kept.values()) + 2 * max(kept.values(), default=0) + 4 * logits.nbytes
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return weights, a_batch // len(x)


def human_bytes(count: float) -> str:
    """``537 MB``."""
    power = min(4, int(math.log(max(count, 1), 1000)))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
