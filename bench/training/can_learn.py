"""Can this network learn at all? Asked in seconds before a job trains, instead of after 20 epochs.

On a copy, in fp32 and without compiling: the job's weights, its batch statistics and the random
state stay as they are.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from bench.data.stream import SampleStream
from bench.protocol import BATCH_SIZE, LEARNING_RATE
from bench.training.losses import segmentation_loss

SAMPLES = {2: 4, 3: 2}
"""How many samples the question is asked on, by spatial dimensions."""
STEPS = 10
FALL = 1e-3
"""The part of the loss that must be gone after at most ``STEPS`` updates on one batch."""


class CannotLearn(RuntimeError):
    """The network can't learn, and why."""


def check_can_learn(
    model: nn.Module,
    stream: SampleStream,
    out_channels: int,
    seg_loss: str,
    device: torch.device,
    at_most: int = BATCH_SIZE,
) -> None:
    """Three questions: does it give logits, does every weight get a gradient, does the loss fall?

    Weights with two dimensions or more are asked for a gradient; a bias before a normalisation has
    none by design. One that has none at first, as behind a residual branch or a last layer that begins at
    zero, must get one within the updates. ``at_most`` that many samples are in memory at a time.

    Raises:
        CannotLearn: one of the answers is no.
    """
    x, y = (part[:at_most] for part in _samples(stream))
    x, y = x.to(device), y.to(device)
    with torch.random.fork_rng(), torch.enable_grad():
        copied = copy.deepcopy(model).to(device).train()
        logits = copied(x)
        _check_shape(logits, (len(x), out_channels, *x.shape[2:]))
        loss = segmentation_loss(logits, y, seg_loss).mean()
        _check_finite(loss)
        loss.backward()
        dead = _without_gradient(copied)
        if dead and len(dead) == sum(p.ndim >= 2 for p in copied.parameters()):
            raise CannotLearn("no weight has a gradient: a softmax over a single channel, or a cut graph?")
        _check_fall(copied, x, y, seg_loss, loss.item(), dead)
        _check_unbounded(copied, x)


def _samples(stream: SampleStream) -> tuple[Tensor, Tensor]:
    """Some of the first batch, those with a foreground first."""
    x, y = stream.batch(0, 0)
    rows = torch.argsort((y > 0).flatten(1).any(dim=1), descending=True, stable=True)
    rows = rows[: SAMPLES[x.ndim - 2]]
    return x[rows], y[rows]


def _check_shape(logits: object, expected: tuple[int, ...]) -> None:
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise CannotLearn(f"the output is {found}, not logits of shape {expected}")


def _check_finite(loss: Tensor) -> None:
    if not math.isfinite(loss.item()):
        raise CannotLearn(f"the loss is {loss.item()} before the first update")


def _without_gradient(model: nn.Module) -> set[str]:
    """Weights whose gradient is no more than rounding."""
    largest = {
        name: 0.0 if p.grad is None else p.grad.abs().max().item()
        for name, p in model.named_parameters()
        if p.ndim >= 2
    }
    rounding = torch.finfo(torch.float32).eps * max(largest.values(), default=0.0)
    return {name for name, value in largest.items() if not value > rounding}


def _check_fall(
    model: nn.Module, x: Tensor, y: Tensor, seg_loss: str, first: float, dead: set[str]
) -> None:
    """Train on one batch, whose gradient is there, until its loss has fallen and no weight is ``dead``."""
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    lowest = first
    for _ in range(STEPS):
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        loss = segmentation_loss(model(x), y, seg_loss).mean()
        lowest = min(lowest, loss.item())
        if lowest <= first * (1 - FALL) and not dead:
            return
        loss.backward()
        dead = dead & _without_gradient(model) if dead else dead
    if dead:
        count = sum(p.ndim >= 2 for p in model.parameters())
        raise CannotLearn(
            f"{len(dead)} of {count} weights have no gradient in {STEPS} updates, first {min(dead)}"
        )
    raise CannotLearn(f"{STEPS} updates on one batch leave the loss at {lowest:.6g} of {first:.6g}")


def _check_unbounded(model: nn.Module, x: Tensor) -> None:
    """Sigmoid, softmax and tanh keep their bounds whatever the weights; logits do not."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 10)
        if model(x).abs().max() <= 1:
            raise CannotLearn(
                "no weights bring the output beyond 1: an activation inside the network, where the "
                "loss and the threshold expect logits?"
            )
