"""Block outputs computed again for gradients instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint as compute_again


def recomputing(model: nn.Module) -> nn.Module:
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


def _forgetful(block: Callable[..., Any], *inputs: Any) -> Any:
    if torch.is_grad_enabled():
        return compute_again(block, *inputs, use_reentrant=False)
    return block(*inputs)
