"""How each sample is flipped and cropped: a pure function of (seed, epoch, batch)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

FLIP_P = CROP_P = 0.5
CROP_RANGE = (0.75, 1.0)


def affine(seed: int, epoch: int, batch: int, batch_size: int, spatial_dims: int) -> NDArray[np.float32]:
    """One affine map ``(batch_size, d, d + 1)`` a sample, from output to input in [-1, 1] coordinates.

    Each axis is flipped with p = ½; with p = ½ a crop of 0.75 to 1 of every side, anywhere inside,
    is blown up to the whole.
    """
    rng = np.random.default_rng([seed, epoch, batch])
    flip = np.where(rng.random((batch_size, spatial_dims)) < FLIP_P, -1.0, 1.0)
    cropped = rng.random((batch_size, 1)) < CROP_P
    scale = np.where(cropped, rng.uniform(*CROP_RANGE, (batch_size, 1)), 1.0)
    centre = rng.uniform(-1.0, 1.0, (batch_size, spatial_dims)) * (1.0 - scale)
    theta = np.zeros((batch_size, spatial_dims, spatial_dims + 1), dtype=np.float32)
    for axis in range(spatial_dims):
        theta[:, axis, axis] = flip[:, axis] * scale[:, 0]
    theta[:, :, -1] = centre
    return theta


def augment(images: Tensor, labels: Tensor, theta: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Apply one map a sample, all samples in one pass.

    ``images`` ``(N, C, *spatial)`` are sampled linearly, ``labels`` ``(N, *spatial)`` by the nearest
    neighbour; returns both with their shapes and types.
    """
    grid = F.affine_grid(
        torch.from_numpy(theta), [len(images), 1, *images.shape[2:]], align_corners=False
    ).to(images)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    nearest = F.grid_sample(
        labels[:, None].to(images), grid, mode="nearest", padding_mode="border", align_corners=False
    )
    return moved, nearest[:, 0].to(labels.dtype)
