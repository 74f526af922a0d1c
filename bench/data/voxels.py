"""Voxels of a volume: resampled to another grid, normalised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

ChannelOfCT = tuple[float, float, float, float]
"""Window, mean and standard deviation."""


def grid_of(shape: Sequence[int], own: Sequence[float], common: Sequence[float]) -> tuple[int, ...]:
    """The sides that a volume of ``shape`` and spacing ``own`` has at the spacing ``common``, in mm."""
    return tuple(
        side if math.isclose(one, other, rel_tol=1e-3) else max(1, round(side * one / other))
        for side, one, other in zip(shape, own, common, strict=True)
    )


def mean_and_std(image: Tensor, ct: Sequence[ChannelOfCT | None]) -> tuple[Tensor, Tensor]:
    """What to normalise the channels ``(C, ...)`` of a volume by: those of the CT, else its own."""
    own = [
        (float(values.mean()), float(values.std(correction=0))) if row is None else row[2:]
        for row, values in zip(ct, (channel.double() for channel in image), strict=True)
    ]
    mean, std = torch.tensor(own).T
    return mean, std.clamp(min=1e-6)


def normalised(image: Tensor, ct: Sequence[ChannelOfCT | None], mean: Tensor, std: Tensor) -> Tensor:
    """Some voxels ``(C, ...)`` of a volume, clipped where they are of a CT; float32."""
    channels = [
        (values if row is None else values.clamp(row[0], row[1])).sub(one).div(other)
        for row, values, one, other in zip(ct, image.float(), mean, std, strict=True)
    ]
    return torch.stack(channels)


def resample(image: Tensor, grid: tuple[int, ...]) -> Tensor:
    """``(C, x, y, z)`` to ``(C, *grid)``, trilinear, float32; as it is where the grid is its own."""
    if tuple(image.shape[1:]) == grid:
        return image
    return F.interpolate(image[None].float(), grid, mode="trilinear", align_corners=False)[0]


def resample_labels(labels: Tensor, grid: tuple[int, ...], classes: int) -> Tensor:
    """``(x, y, z)`` class indices to ``grid``: the class with the largest share of each voxel."""
    if tuple(labels.shape) == grid:
        return labels
    shares = torch.stack([(labels == c).float() for c in range(classes + 1)])
    return resample(shares, grid).argmax(dim=0).to(torch.uint8)
