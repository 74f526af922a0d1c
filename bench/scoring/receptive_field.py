"""How much of the image an output pixel of a network can see, whatever the network is made of."""

from __future__ import annotations

import copy
import logging

import torch
from torch import nn

from bench.errors import brief

log = logging.getLogger(__name__)

LARGEST_SIDE = 2048
"""Pixels; a network whose output pixel sees further than this is taken to see the whole image."""
HIDING = (
    *(nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm),
    *(nn.modules.dropout._DropoutNd, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.Softplus),
)
"""Left out: they could hide a path, and statistics of the whole image say nothing about place."""


def receptive_field(
    model: nn.Module, stride: int, spatial_dims: int = 2, in_channels: int = 1
) -> int | None:
    """The side, in pixels, of the input region that reaches the output pixel in the middle.

    Found from that pixel's gradient along the first axis, with all weights positive, so that no two paths
    cancel. The image grows until the region ends inside of it.

    Args:
        model: left as it is.
        stride: what every side must be divisible by.
        spatial_dims: of its input ``(1, in_channels, *spatial)``.
        in_channels: of its input.

    Returns:
        None where it is the whole image (a global path), or where the network can't be asked so.
    """
    try:
        network = _open(copy.deepcopy(model).cpu().double().eval())
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            nn.init.constant_(parameter, 1.0 / fan_in)
        side = 8 * stride
        while side <= LARGEST_SIDE:
            seen = _seen(network, (side, *[stride] * (spatial_dims - 1)), in_channels)
            if 0 < seen < side // 2:  # then it ends inside on both sides
                return seen
            side *= 2
    except Exception as error:  # networks made elsewhere may raise any; a number is all that is lost
        log.info(f"receptive field not measured: {brief(error)}")
    return None


def _seen(network: nn.Module, sides: tuple[int, ...], in_channels: int) -> int:
    """How many rows of an image of ones have a part in the middle row of the output."""
    x = torch.ones(1, in_channels, *sides, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        network(x)[0, :, sides[0] // 2].sum().backward()
    if x.grad is None:
        return 0
    return int((x.grad[0] != 0).transpose(0, 1).flatten(1).any(dim=1).sum())


def _open(module: nn.Module) -> nn.Module:
    """The network with what could hide a path out of the way."""
    for name, child in module.named_children():
        if isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
        elif isinstance(child, nn.MaxPool3d):
            setattr(module, name, nn.AvgPool3d(child.kernel_size, child.stride, child.padding))
        elif isinstance(child, HIDING):
            setattr(module, name, nn.Identity())
        else:
            _open(child)
    return module
