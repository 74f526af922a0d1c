"""A batch in parts whose gradients add up to the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Losses = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Images, labels and targets to loss terms by name, each a mean of per-sample values."""


def accumulate(
    losses: Losses, x: Tensor, y: Tensor, targets: Mapping[str, Tensor], size: int
) -> dict[str, Tensor]:
    """Add the gradients of one batch, ``size`` samples at a time; returns the batch's terms and ``loss``.

    Every term is a mean of per-sample values, so the parts' means, weighed by their share, add up to
    the batch's: gradients are those of the whole batch up to rounding. Only a network with batch
    statistics (BatchNorm) sees a difference, for it normalises each part by the part's own.
    """
    totals: dict[str, Tensor] = {}
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        terms = dict(losses(x[rows], y[rows], {name: value[rows] for name, value in targets.items()}))
        share = len(x[rows]) / len(x)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        (terms["loss"] * share).backward()
        for name, value in terms.items():
            totals[name] = totals.get(name, torch.zeros_like(value)) + value.detach() * share
    return totals
