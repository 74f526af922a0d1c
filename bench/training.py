"""The training loop: one for every cell of the matrix."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data.stream import SampleStream
from bench.protocol import DICE_SMOOTH, EPOCHS, LEARNING_RATE
from bench.runtime import Runtime
from methods import Method, Outputs, tap_name

TargetSource = Callable[[int, int], Mapping[str, Tensor]]
"""(epoch, batch) to the teacher's targets for that batch."""


@dataclass
class Trained:
    """What training leaves. ``curves`` has one row an epoch; ``model`` carries the best weights."""

    model: nn.Module
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    steps: int = 0


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
) -> Trained:
    """Train ``model`` in place and put the best epoch's weights into it.

    Args:
        validate: the model to its validation Dice, which selects the epoch (ties: the earlier).
        targets: the teacher's targets; None for methods without a teacher.
        on_epoch: called with each new row of the curves.

    Raises:
        Diverged: the loss is no longer finite.
    """
    device, layout = runtime.device, runtime.memory_format
    model.to(device)
    if stream.prepared.dataset.spatial_dims == 2:
        model.to(memory_format=layout)  # type: ignore[call-overload]
    adapters = _adapters(model, method, stream, runtime, targets)
    trained_modules = nn.ModuleList([model] if adapters is None else [model, adapters]).to(device)
    optimiser = torch.optim.Adam(trained_modules.parameters(), lr=LEARNING_RATE, fused=device.type != "mps")
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)

    def losses(x: Tensor, y: Tensor, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with runtime.autocast():
            outputs = forward(model, method, x)
            if adapters is not None:
                outputs = Outputs(*adapters(outputs))
        terms = {"seg": segmentation_loss(outputs.logits, y, seg_loss)}
        return terms | method.loss(outputs, kept, y)

    compute = torch.compile(losses, dynamic=False) if runtime.compiled else losses
    result = Trained(model, steps=stream.steps)
    best: dict[str, Any] = {}
    started = time.perf_counter()
    for epoch in range(epochs):
        model.train()
        sums: dict[str, float] = {}
        for batch in range(stream.steps):
            x, y = stream.batch(epoch, batch)
            x, y = x.to(device), y.to(device)
            if x.ndim == 4:
                x = x.contiguous(memory_format=layout)
            kept = {k: v.to(device) for k, v in targets(epoch, batch).items()} if targets else {}
            terms = compute(x, y, kept)
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            for name, value in {**terms, "loss": loss}.items():
                sums[name] = sums.get(name, 0.0) + value.item() / stream.steps
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
        if not best or row["dice_val"] > result.curves[result.best_epoch - 1]["dice_val"]:
            best = copy.deepcopy(model.state_dict())
            result.best_epoch = epoch + 1
        result.curves.append(row)
        on_epoch(row)
    result.seconds = time.perf_counter() - started
    model.load_state_dict(best)
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
