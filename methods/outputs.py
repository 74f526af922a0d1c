"""What a network says about a batch, and what is decided by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

Tap = tuple[str, int]
"""Side (``encoder`` or ``decoder``) and stride of a block."""


class Outputs(NamedTuple):
    """What a network says about a batch.

    ``logits``: ``(N, out_channels, *spatial)``; ``taps``: one feature ``(N, C, *spatial / stride)``
    per block, keyed by ``(side, stride)``.
    """

    logits: Tensor
    taps: Mapping[Tap, Tensor]


def outputs_of(model: nn.Module, x: Tensor, with_taps: bool) -> Outputs:
    """What a network says about ``x``, ``(N, in_channels, *spatial)``; no taps where nobody reads them."""
    if with_taps:
        return Outputs(*model.forward_intermediates(x))  # type: ignore[operator]
    return Outputs(model(x), {})


def decisions(logits: Tensor) -> Tensor:
    """Class indices ``(N, *spatial)`` uint8 of logits ``(N, out_channels, *spatial)``.

    The one place that turns logits into decisions: p > ½ for one channel, the largest for several.
    """
    return (logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)).to(torch.uint8)
