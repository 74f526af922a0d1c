"""The honest reference: the distillation loop that a user would write, and write well.

The teacher's forward pass in every step, uncompiled, in fp32 unless told otherwise, in the memory layout
that is faster for it here; a ``DataLoader`` with a worker process and augmentation per sample. The losses
are the harness's own, so that both train the same. It runs in a process of its own, with the memory
settings of torch and the C library as they come: nothing of a job's (``bench/compute/freed_memory.py``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

import architectures
import methods
from bench.compute.processes import own_processes
from bench.performance.slices import loader
from bench.protocol import LEARNING_RATE
from bench.training.losses import segmentation_loss
from methods import Method, Outputs

LAYOUTS = (torch.contiguous_format, torch.channels_last)
TRIAL_STEPS = 3
"""Of each layout, after the first step."""


@dataclass(frozen=True)
class Reference:
    """What plain loops train: ``images`` ``(N, C, H, W)``, ``labels`` ``(N, H, W)``."""

    teacher: str
    images: NDArray
    labels: NDArray
    out_channels: int
    device: torch.device
    threads: int

    def loop(self, student: str, precision: str, layout: torch.memory_format) -> Iterator[float]:
        """``student`` learning from the teacher by ``combined``; yields the loss of each step."""
        batches = loader(torch.from_numpy(self.images), torch.from_numpy(self.labels), self.device)
        learner, teacher = (self._network(name) for name in (student, self.teacher))
        method = methods.build("combined")
        return plain_loop(learner, teacher, method, batches, self.device, precision, layout)

    def fastest_loop(self, student: str, precision: str) -> Iterator[float]:
        """The same in the memory layout in which it is faster here."""
        loops = [self.loop(student, precision, layout) for layout in LAYOUTS]
        seconds: list[list[float]] = [[] for _ in loops]
        for _ in range(1 + TRIAL_STEPS):
            for own, each in zip(seconds, loops, strict=True):
                started = time.perf_counter()
                next(each)
                own.append(time.perf_counter() - started)
        shortest = [min(own[1:]) for own in seconds]
        return loops[shortest.index(min(shortest))]

    def _network(self, name: str) -> nn.Module:
        torch.manual_seed(0)
        return architectures.build(name, 2, self.images.shape[1], self.out_channels)


_reference: Reference | None = None
_loops: dict[tuple[str, str], Iterator[float]] = {}
"""In the process of the loops: what they train, and each of them by (student, precision)."""


@contextlib.contextmanager
def loop_in_own_process(reference: Reference) -> Iterator[Callable[[str, str, int], None]]:
    """A function that lets the loop of (student, precision) take so many steps, in a process of its own."""
    with own_processes(1, _begin, reference) as pool:
        yield lambda student, precision, count: pool.submit(_take, student, precision, count).result()


def _begin(reference: Reference) -> None:
    global _reference  # noqa: PLW0603
    torch.set_num_threads(reference.threads)
    _reference = reference


def _take(student: str, precision: str, count: int) -> None:
    if (student, precision) not in _loops:
        assert _reference is not None
        _loops[student, precision] = _reference.fastest_loop(student, precision)
    for _ in range(count):
        next(_loops[student, precision])


def plain_loop(
    student: nn.Module,
    teacher: nn.Module,
    method: Method,
    batches: DataLoader,
    device: torch.device,
    precision: str = "fp32",
    layout: torch.memory_format = torch.contiguous_format,
) -> Iterator[float]:
    """Train ``student`` for ever; yields the loss of each step."""
    for network in (student, teacher):
        network.to(device, memory_format=layout)  # type: ignore[call-overload]
    student.train()
    teacher.eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    while True:
        for images, labels in batches:
            x = images.to(device, memory_format=layout, non_blocking=True)
            y = labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                with torch.no_grad():
                    teacher_outputs = Outputs(*teacher.forward_intermediates(x))  # type: ignore[operator]
                outputs = Outputs(*student.forward_intermediates(x))  # type: ignore[operator]
            targets = method.targets(teacher_outputs, y)
            terms = method.loss(outputs, targets, y)
            loss = (
                segmentation_loss(outputs.logits, y) + torch.stack(list(terms.values())).sum(dim=0)
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield loss.item()
