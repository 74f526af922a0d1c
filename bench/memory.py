"""Memory of training: a batch in parts, block outputs computed again instead of kept; the peak."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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


def checkpointed(model: nn.Module) -> nn.Module:
    """The same network, which forgets what lies inside its blocks and computes it again for gradients.

    Blocks are the members of the network's module lists, its children where it has none. Names of
    weights stay. BatchNorm updates its running statistics twice a step then. Chen et al.: Training Deep
    Nets with Sublinear Memory Cost, 2016.
    """
    lists = [child for child in model.children() if isinstance(child, nn.ModuleList)]
    blocks = [block for children in lists for block in children] or list(model.children())
    for block in blocks:
        # A partial of a bound method: a deep copy of the network gets its own.
        block.forward = partial(_forgetful, block.forward)
    return model


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether a part of a batch is normalised otherwise than the whole."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def peak_memory_mb(device: torch.device) -> float:
    """The most that this process has used so far: resident memory, or the GPU's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def _forgetful(block: Callable[..., Any], *inputs: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)
