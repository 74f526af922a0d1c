"""How much of the image a network's output pixel can see through its convolutions."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

import architectures

_KEPT = (nn.Conv2d, nn.ConvTranspose2d, nn.ModuleList)


@cache
def receptive_field(architecture: str) -> int:
    """The side, in pixels, of the input region that reaches the output pixel in the middle (2-D).

    Found from the gradient with every weight one and without what could hide a path: ReLUs and
    normalisations left out (an InstanceNorm lets statistics of the whole image through, which say
    nothing about place), pooling by the mean.
    """
    model = _open(architectures.build(architecture)).double()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    stride = architectures.stride(architecture)
    side = 8 * stride
    while True:
        x = torch.zeros(1, 1, side, stride, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            model(x)[0, 0, side // 2].sum().backward()
        assert x.grad is not None
        seen = int((x.grad[0, 0] != 0).any(dim=1).sum())
        if seen < side // 2:  # then it ends inside on both sides
            return seen
        side *= 2


def _open(module: nn.Module) -> nn.Module:
    """The network with every nonlinearity and normalisation out of the way."""
    for name, child in module.named_children():
        if isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
        elif isinstance(child, _KEPT) or next(child.children(), None) is not None:
            _open(child)
        else:
            setattr(module, name, nn.Identity())
    return module
