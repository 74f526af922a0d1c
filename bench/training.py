"""The training loop: one for every cell of the matrix."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.checkpoint import Checkpoint, State
from bench.data.stream import SampleStream, ahead
from bench.memory import Losses, accumulate, peak_memory_mb
from bench.protocol import DICE_SMOOTH, EPOCHS, LEARNING_RATE
from bench.runtime import Runtime, compiled_or_eager
from methods import Method, Outputs, tap_name

TargetSource = Callable[[int, int], Mapping[str, Tensor]]
"""(epoch, batch) to the teacher's targets for that batch."""


@dataclass
class Trained:
    """What training leaves. ``curves`` has one row an epoch; ``model`` carries the best weights.

    Of a job that was interrupted ``seconds`` and ``peak_memory_mb`` are those of all its processes
    together, ``seconds_before`` those of the ones before; it went on after the epochs ``resumed_after``.
    The peak is that of a process's first epoch: later ones may keep more than needed (``bench/heap.py``).
    """

    model: nn.Module
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    steps: int = 0
    peak_memory_mb: float = 0.0
    resumed_after: list[int] = field(default_factory=list)
    seconds_before: float = 0.0
    eager: str = ""
    """Why a job that was to be compiled ran uncompiled."""


KEPT = ("curves", "best_epoch", "seconds", "peak_memory_mb", "resumed_after", "eager")
"""What a checkpoint keeps of ``Trained``."""


class Diverged(RuntimeError):
    """The loss is no longer finite."""


def segmentation_loss(logits: Tensor, labels: Tensor, kind: str = "dice-bce") -> Tensor:
    """L_seg of the protocol, a mean of per-sample values.

    Args:
        logits: ``(N, C, *spatial)``; C = 1 means one class against background (sigmoid).
        labels: ``(N, *spatial)`` class indices.
        kind: ``dice-bce``, or ``bce`` without the Dice term (cross-entropy for several classes).
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        truth = (labels[:, None] > 0).float()
        entropy = F.binary_cross_entropy_with_logits(logits, truth)
        probability = torch.sigmoid(logits)
    else:
        entropy = F.cross_entropy(logits, labels.long())
        probability = torch.softmax(logits, dim=1)[:, 1:]
        truth = torch.stack([labels == c for c in range(1, logits.shape[1])], dim=1).float()
    if kind == "bce":
        return entropy
    axes = tuple(range(2, logits.ndim))
    overlap = (probability * truth).sum(axes)
    size = probability.sum(axes) + truth.sum(axes)
    dice = (2 * overlap + DICE_SMOOTH) / (size + DICE_SMOOTH)
    return entropy + (1 - dice).mean()


class Updater:
    """One step of training: losses, gradients, update; compiled where that works.

    Calling it with a batch on the device, ``(x, y, targets)``, returns the loss terms by name and their
    sum as ``loss``. ``on_eager`` is told why, if compiling fails.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        runtime: Runtime,
        seg_loss: str,
        adapters: nn.Module | None = None,
        on_eager: Callable[[str], None] = lambda reason: None,
    ) -> None:
        modules = nn.ModuleList([model] if adapters is None else [model, adapters]).to(runtime.device)
        fused = runtime.device.type != "mps"
        self._micro_batch = runtime.micro_batch
        self.optimiser = torch.optim.Adam(modules.parameters(), lr=LEARNING_RATE, fused=fused)

        def losses(x: Tensor, y: Tensor, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with runtime.autocast():
                outputs = forward(model, method, x)
                if adapters is not None:
                    outputs = Outputs(*adapters(outputs))
            terms = {"seg": segmentation_loss(outputs.logits, y, seg_loss)}
            return terms | method.loss(outputs, kept, y)

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
        return accumulate(losses, x, y, kept, self._micro_batch)


def batches(
    stream: SampleStream,
    runtime: Runtime,
    epoch: int,
    targets: TargetSource | None = None,
    read_ahead: bool = True,
) -> Generator[tuple[Tensor, Tensor, Mapping[str, Tensor]], None, None]:
    """An epoch's batches ``(x, y, targets)`` on the device, the next one prepared meanwhile.

    ``read_ahead=False``: ``targets`` computes with a teacher rather than reads, so it is asked in turn.
    """
    device, layout = runtime.device, runtime.memory_format

    def read(epoch: int, batch: int) -> dict[str, Tensor]:
        return dict(targets(epoch, batch)) if targets else {}

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


def train(
    model: nn.Module,
    method: Method,
    stream: SampleStream,
    runtime: Runtime,
    seg_loss: str,
    validate: Callable[[nn.Module], float],
    targets: TargetSource | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
    epochs: int = EPOCHS,
    read_ahead: bool = True,
    on_eager: Callable[[str], None] = lambda reason: None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train ``model`` in place and put the best epoch's weights into it.

    From a checkpoint it goes on as if it had never stopped; one is saved after every epoch, and before
    ``on_epoch`` is told. The time that takes counts in no figure.

    Args:
        validate: the model to its validation Dice, which selects the epoch (ties: the earlier).
        targets: the teacher's targets; None for methods without a teacher.
        on_epoch: called with each new row of the curves.
        read_ahead: whether ``targets`` may be read in a thread (see ``batches``).
        on_eager: told why, if compiling fails and the job goes on without.
        checkpoint: where training is kept; None keeps nothing.

    Raises:
        Diverged: the loss is no longer finite.
    """
    runtime.place(model, stream.spatial_dims)
    adapters = _adapters(model, method, stream, runtime, targets)
    result = Trained(model, steps=stream.steps)

    def falls_back(reason: str) -> None:
        result.eager = reason
        on_eager(reason)

    update = Updater(model, method, runtime, seg_loss, adapters, falls_back)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(update.optimiser, T_max=epochs)
    parts = {"model": model} if adapters is None else {"model": model, "adapters": adapters}
    state = State(parts, update.optimiser, schedule)
    if checkpoint is not None:
        length = {"epochs": epochs, "steps": stream.steps}
        checkpoint = replace(checkpoint, owner={**checkpoint.owner, **length})
        kept = checkpoint.read(state)
        if kept is not None:
            for name in KEPT:
                setattr(result, name, kept.facts[name])
            result.seconds_before = result.seconds
            result.resumed_after.append(len(result.curves))
            if result.eager:
                update.leave_uncompiled()
                on_eager(result.eager)
            elif runtime.compiled and len(result.curves) < epochs:
                # Compiling is judged by the first step; by another one the answer might be another.
                model.train()
                with contextlib.closing(batches(stream, runtime, 0, targets, read_ahead)) as first:
                    update.try_out(*next(first))
            kept.restore(state)
    started = time.perf_counter() - result.seconds
    begin = len(result.curves)
    for epoch in range(begin, epochs):
        model.train()
        sums: dict[str, float] = {}
        for batch, sample in enumerate(batches(stream, runtime, epoch, targets, read_ahead)):
            for name, value in update(*sample).items():
                sums[name] = sums.get(name, 0.0) + value / stream.steps
            if not math.isfinite(sums["loss"]):
                raise Diverged(f"loss is {sums['loss']} in epoch {epoch + 1}, batch {batch + 1}")
        row: dict[str, float] = {
            "epoch": epoch + 1,
            "learning_rate": float(schedule.get_last_lr()[0]),
            **sums,
            "dice_val": validate(model),
            "seconds": time.perf_counter() - started,
        }
        schedule.step()
        if not state.best or row["dice_val"] > result.curves[result.best_epoch - 1]["dice_val"]:
            state.best = copy.deepcopy(model.state_dict())
            result.best_epoch = epoch + 1
        result.curves.append(row)
        if epoch == begin:
            result.peak_memory_mb = max(result.peak_memory_mb, peak_memory_mb(runtime.device))
        if checkpoint is not None:
            pause = time.perf_counter()
            result.seconds = pause - started
            checkpoint.save(state, {name: getattr(result, name) for name in KEPT})
            started += time.perf_counter() - pause
        on_epoch(row)
    result.seconds = time.perf_counter() - started
    model.load_state_dict(state.best)
    return result


def forward(model: nn.Module, method: Method, x: Tensor) -> Outputs:
    """The outputs that a method reads: taps only where it needs them."""
    if method.needs_taps:
        return Outputs(*model.forward_intermediates(x))  # type: ignore[operator]
    return Outputs(model(x), {})


def _adapters(
    model: nn.Module,
    method: Method,
    stream: SampleStream,
    runtime: Runtime,
    targets: TargetSource | None,
) -> nn.Module | None:
    """The method's adapters, built for the shapes of the first batch."""
    if targets is None or type(method).adapters is Method.adapters:
        return None
    x, _ = stream.batch(0, 0)
    state = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        outputs = forward(model, method, x.to(runtime.device))
    model.load_state_dict(state)
    shapes = {tap_name(tap): tuple(feature.shape) for tap, feature in outputs.taps.items()}
    return method.adapters(
        {"logits": tuple(outputs.logits.shape), **shapes},
        {name: tuple(target.shape) for name, target in targets(0, 0).items()},
    )
