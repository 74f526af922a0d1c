"""3-D convolutions in bf16 where a volume is two voxels thin: in fp32, for bf16's gradient is wrong there.

On processors torch 2.13 gives a ``Conv3d`` of size 3 in bf16 a wrong gradient of its weights where the
first axis of a volume has two voxels: numbers up to 1e35, NaN, or silently next to nothing, by what the
memory held before. Outputs and the gradient of the input are right, and so are all other sides. Networks
that halve their sides four times get there with patches of 32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

THIN = 2
"""Voxels of the first axis."""


class SoundConv3d(nn.Conv3d):
    """``nn.Conv3d`` that leaves autocast where a volume is thin."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if input.shape[2] != THIN or not torch.is_autocast_enabled("cpu"):
            return super()._conv_forward(input, weight, bias)
        with torch.autocast("cpu", enabled=False):
            return super()._conv_forward(input.float(), weight, bias)


def mend(model: nn.Module) -> None:
    """Let the 3-D convolutions of a network be sound; its weights and their names stay."""
    for module in model.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = SoundConv3d
