"""One step of training, and the batches that it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench.compute.compiling import compiled_or_eager
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream, ahead
from bench.protocol import BATCH_SIZE, LEARNING_RATE
from bench.training.losses import segmentation_loss
from bench.training.micro_batches import PSEUDO, SEG, Losses, accumulate, weights
from methods import Method, Outputs, outputs_of, tap_name

TargetSource = Callable[[int, int], Mapping[str, Tensor]]
"""(epoch, batch) to the teacher's targets for that batch."""


@dataclass(frozen=True)
class Targets:
    """The teacher's targets of every batch.

    ``ahead``: they are only read, which may be done in a thread while the batch before is computed;
    otherwise the teacher computes them, and is asked in turn.
    """

    read: TargetSource
    ahead: bool = True


@dataclass(frozen=True)
class Task:
    """What is trained: a network by a method on a stream of samples, and how that is computed.

    ``targets`` is None for methods without a teacher.
    """

    model: nn.Module
    method: Method
    stream: SampleStream
    runtime: Runtime
    seg_loss: str = "dice-bce"
    targets: Targets | None = None
    keep_last: bool = False
    """Whether the last epoch's weights are kept, not those of the best validation Dice."""
    learning_rate: float = LEARNING_RATE


class Updater:
    """One step of training: losses, gradients, update; compiled where that works.

    Calling it with a batch on the device, ``(x, y, targets)``, returns the loss terms by name and their
    sum as ``loss``. Of a batch the first ``labelled`` samples have labels. ``on_eager`` is told why, if
    compiling fails.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        runtime: Runtime,
        seg_loss: str,
        adapters: nn.Module | None = None,
        on_eager: Callable[[str], None] = lambda reason: None,
        labelled: int = BATCH_SIZE,
    ) -> None:
        modules = nn.ModuleList([model] if adapters is None else [model, adapters]).to(runtime.device)
        fused = runtime.device.type != "mps"
        self._micro_batch = runtime.micro_batch
        self.optimiser = torch.optim.Adam(modules.parameters(), lr=LEARNING_RATE, fused=fused)

        def losses(x: Tensor, y: Tensor, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with runtime.autocast():
                outputs = outputs_of(model, x, method.needs_taps)
                if adapters is not None:
                    outputs = Outputs(*adapters(outputs))
            terms = {SEG: segmentation_loss(outputs.logits, y, seg_loss)}
            if (decided := method.decisions(kept)) is not None:
                terms[PSEUDO] = segmentation_loss(outputs.logits, decided, seg_loss)
            return terms | method.loss(outputs, kept, y)

        self._weights = partial(
            weights, labelled=labelled, unlabelled_weight=method.unlabelled_weight, device=runtime.device
        )
        self._losses = losses
        self._gradients = compiled_or_eager(self._backward, losses, runtime, modules, on_eager)

    def __call__(self, x: Tensor, y: Tensor, kept: Mapping[str, Tensor]) -> dict[str, float]:
        """Update the model once."""
        values = self._gradients(x, y, kept)
        self.optimiser.step()
        # One transfer for all of them: each would wait for the device.
        return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))

    def try_out(self, x: Tensor, y: Tensor, kept: Mapping[str, Tensor]) -> None:
        """Find out whether compiling works, without an update."""
        self._gradients(x, y, kept)
        self.optimiser.zero_grad(set_to_none=True)

    def leave_uncompiled(self) -> None:
        """Don't try."""
        self._gradients = partial(self._backward, self._losses)

    def _backward(
        self, losses: Losses, x: Tensor, y: Tensor, kept: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        self.optimiser.zero_grad(set_to_none=True)
        return accumulate(losses, x, y, kept, self._weights(len(x)), self._micro_batch)


def batches(
    stream: SampleStream, runtime: Runtime, epoch: int, targets: Targets | None = None
) -> Generator[tuple[Tensor, Tensor, Mapping[str, Tensor]], None, None]:
    """An epoch's batches ``(x, y, targets)`` on the device, the next one prepared meanwhile."""
    device, layout = runtime.device, runtime.memory_format
    read_ahead = targets is None or targets.ahead

    def read(epoch: int, batch: int) -> dict[str, Tensor]:
        return dict(targets.read(epoch, batch)) if targets else {}

    def prepare(epoch: int, batch: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        x, y = stream.batch(epoch, batch)
        x = x.contiguous(memory_format=layout) if x.ndim == 4 else x
        kept = read(epoch, batch) if read_ahead else {}
        if device.type == "cuda":  # pinned memory is copied while the device computes
            return x.pin_memory(), y.pin_memory(), {k: v.pin_memory() for k, v in kept.items()}
        return x, y, kept

    keys = [(epoch, batch) for batch in range(stream.steps)]
    for key, (x, y, kept) in zip(keys, ahead(prepare, keys), strict=True):
        now = kept if read_ahead else read(*key)
        on_device = {name: value.to(device, non_blocking=True) for name, value in now.items()}
        yield x.to(device, non_blocking=True), y.to(device, non_blocking=True), on_device


def adapters_of(task: Task) -> nn.Module | None:
    """The method's adapters, built for the shapes of the first batch."""
    if task.targets is None or type(task.method).adapters is Method.adapters:
        return None
    x, _ = task.stream.batch(0, 0)
    state = copy.deepcopy(task.model.state_dict())
    with torch.no_grad():
        outputs = outputs_of(task.model, x.to(task.runtime.device), task.method.needs_taps)
    task.model.load_state_dict(state)
    shapes = {tap_name(tap): tuple(feature.shape) for tap, feature in outputs.taps.items()}
    return task.method.adapters(
        {"logits": tuple(outputs.logits.shape), **shapes},
        {name: tuple(target.shape) for name, target in task.targets.read(0, 0).items()},
    )
