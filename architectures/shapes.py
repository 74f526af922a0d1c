"""Networks of other widths than their names say, as pruning leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Shape = Mapping[str, Sequence[int]]
"""By name: of each convolution the channels out and in and the groups, of each normalisation the channels.

``{"encoder.0.0": [32, 1, 1], "encoder.0.1": [32], ...}``."""


def reshape(model: nn.Module, shape: Shape) -> nn.Module:
    """Give parts of a network other widths, in place; these parts get new weights, as at first.

    Raises:
        ValueError: a shape of another network.
    """
    for name, numbers in shape.items():
        try:
            _resize(model.get_submodule(name), numbers)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"a shape of another network: {name!r} {list(numbers)} ({error})") from None
    initialise = getattr(model, "initialise", None)
    if shape and initialise is not None:
        initialise()
    return model


def _resize(part: Any, numbers: Sequence[int]) -> None:
    if isinstance(part, nn.modules.conv._ConvNd):
        part.out_channels, part.in_channels, part.groups = numbers
        first, second = (
            (part.in_channels, part.out_channels)
            if part.transposed
            else (part.out_channels, part.in_channels)
        )
        part.weight = _like(part.weight, first, second // part.groups, *part.kernel_size)
        if part.bias is not None:
            part.bias = _like(part.bias, part.out_channels)
    else:
        (part.num_features,) = numbers
        for name, value in part.named_parameters(recurse=False):
            setattr(part, name, _like(value, part.num_features))
        for name, value in part.named_buffers(recurse=False):
            if value.ndim:
                part.register_buffer(name, value.new_empty(part.num_features))
    part.reset_parameters()


def _like(value: Tensor, *sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(sizes, dtype=value.dtype, device=value.device))
