"""The honest reference: the distillation loop that a user would write, and write well.

The teacher's forward pass in every step, uncompiled, in fp32 unless told otherwise, in torch's
default memory layout; a ``DataLoader`` with a worker process and augmentation per sample. The losses
are the harness's own, so that both train the same. It runs in a process of its own, with the memory
settings of torch and the C library as they come: nothing of a job's (``bench/compute/freed_memory.py``).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import architectures
import methods
from bench.compute.processes import own_processes
from bench.protocol import BATCH_SIZE, LEARNING_RATE
from bench.training.losses import segmentation_loss
from methods import Method, Outputs


@dataclass(frozen=True)
class Reference:
    """What plain loops train: ``images`` ``(N, C, H, W)``, ``labels`` ``(N, H, W)``."""

    teacher: str
    images: NDArray
    labels: NDArray
    out_channels: int
    device: torch.device
    threads: int

    def loop(self, student: str, precision: str) -> Iterator[float]:
        """``student`` learning from the teacher by ``combined``; yields the loss of each step."""
        images, labels = torch.from_numpy(self.images), torch.from_numpy(self.labels)
        learner, teacher = (self._network(name) for name in (student, self.teacher))
        return plain_loop(
            learner, teacher, methods.build("combined"), images, labels, self.device, precision
        )

    def _network(self, name: str) -> nn.Module:
        torch.manual_seed(0)
        return architectures.build(name, 2, self.images.shape[1], self.out_channels)


_reference: Reference | None = None
_loops: dict[tuple[str, str], Iterator[float]] = {}
"""In the process of the loops: what they train, and each of them by (student, precision)."""


@contextlib.contextmanager
def in_own_process(reference: Reference) -> Iterator[Callable[[str, str, int], None]]:
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
        _loops[student, precision] = _reference.loop(student, precision)
    for _ in range(count):
        next(_loops[student, precision])


class AugmentedSlices(Dataset):
    """Images ``(N, C, H, W)`` with labels ``(N, H, W)``: flipped with p = ½ an axis, cropped with p = ½."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One sample."""
        image, label = self.images[index], self.labels[index]
        for axis in (-2, -1):
            if random.random() < 0.5:
                image, label = image.flip(axis), label.flip(axis)
        if random.random() < 0.5:
            side = image.shape[-1]
            crop = round(side * random.uniform(0.75, 1.0))
            top, left = random.randint(0, side - crop), random.randint(0, side - crop)
            image = image[:, top : top + crop, left : left + crop]
            label = label[top : top + crop, left : left + crop]
            image = F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]
            label = F.interpolate(label[None, None], (side, side), mode="nearest")[0, 0]
        return image, label


def plain_loop(
    student: nn.Module,
    teacher: nn.Module,
    method: Method,
    images: Tensor,
    labels: Tensor,
    device: torch.device,
    precision: str = "fp32",
) -> Iterator[float]:
    """Train ``student`` for ever; yields the loss of each step."""
    loader = DataLoader(
        AugmentedSlices(images, labels),
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    student.to(device).train()
    teacher.to(device).eval()
    optimiser = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
    while True:
        for batch in loader:
            x, y = (tensor.to(device, non_blocking=True) for tensor in batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                with torch.no_grad():
                    teacher_outputs = Outputs(*teacher.forward_intermediates(x))  # type: ignore[operator]
                outputs = Outputs(*student.forward_intermediates(x))  # type: ignore[operator]
            targets = method.targets(teacher_outputs, y)
            terms = method.loss(outputs, targets, y)
            loss = segmentation_loss(outputs.logits, y) + torch.stack(list(terms.values())).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield loss.item()
