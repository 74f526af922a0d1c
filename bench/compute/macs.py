"""Multiply-accumulates of a network, counted in one place, in two ways that agree.

What records and tables hold is fvcore's count, which traces a pass. Plans need a number for every job at
once, so they take torch's, which computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import architectures
from bench.compute.without_computing import without_computing

COUNTED = ("conv", "linear", "matmul", "addmm", "bmm", "mm", "einsum")


def macs(module: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-accumulates of one forward pass: convolutions, linear layers, matrix products.

    fvcore's counter, its counts of normalisation, pooling and interpolation left out.
    """
    from fvcore.nn import FlopCountAnalysis

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    analysis = FlopCountAnalysis(module, torch.zeros(*shape, device=device))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(sum(count for kind, count in analysis.by_operator().items() if kind in COUNTED))


@cache
def forward_macs(
    architecture: str, spatial_dims: int, in_channels: int, out_channels: int, side: int | tuple[int, ...]
) -> int:
    """MACs of one forward pass by torch's counter, found without computing anything.

    ``side`` is that of a square or cube, or all sides.
    """
    sides = (side,) * spatial_dims if isinstance(side, int) else side

    def count() -> int:
        # As for inference: one small sample leaves nothing to normalise by in training.
        model = architectures.build(architecture, spatial_dims, in_channels, out_channels).eval()
        x = torch.zeros(1, in_channels, *sides)
        with FlopCounterMode(display=False) as counter:
            model(x)
        return counter.get_total_flops() // 2

    return without_computing(count)
