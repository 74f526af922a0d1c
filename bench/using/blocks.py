"""A volume that memory does not hold: read, prepared, predicted and decided some planes at a time.

The windows are those of the whole volume. A block is as many planes as are wanted, and on both sides all
planes of every window that touches them; it begins where a window begins. So the logits of the planes that
are kept are the same as if the volume had been predicted at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.voxels import grid_of, normalised
from bench.scoring.evaluation import OVERLAP, decide, predict_volume
from bench.study.predictions import Labels
from bench.using.prediction import Predict, ct_of
from bench.using.preprocessing import Preprocessing
from bench.using.volumes import Volume, scratch_mask

BYTES = 4
AT_WORK = 3
"""Arrays of a block's size that are there at once: logits, their weights, and a copy."""


@dataclass(frozen=True)
class Plan:
    """How a volume is cut along one axis, ``step`` of its own planes at a time."""

    axis: int
    grid: tuple[int, ...]
    step: int


def bytes_whole(volume: Volume, made_for: Preprocessing) -> int:
    """The memory that predicting it at once takes, about."""
    own, grid = math.prod(volume.shape), math.prod(_grid(volume, made_for))
    channels, outputs = len(made_for.channels), made_for.out_channels
    return BYTES * (own * (2 * channels + outputs) + grid * (2 * channels + AT_WORK * outputs))


def plan(volume: Volume, made_for: Preprocessing, budget: int) -> Plan:
    """Cut it so that a block takes ``budget`` bytes, about; one plane at a time is the least."""
    grid = _grid(volume, made_for)
    axis = 2 if made_for.sliced else max(range(3), key=lambda k: grid[k])
    channels, outputs = len(made_for.channels), made_for.out_channels
    a_plane = BYTES * (3 * channels + AT_WORK * outputs) * math.prod(grid) // grid[axis]
    beside = 0 if made_for.sliced else 2 * made_for.patch[axis]
    on_grid = max(1, budget // a_plane - beside)
    return Plan(axis, grid, max(1, on_grid * volume.shape[axis] // grid[axis]))


def predict_in_blocks(
    predict: Predict,
    made_for: Preprocessing,
    volume: Volume,
    cut: Plan,
    scratch: Path,
    device: torch.device,
) -> Labels:
    """Class indices ``(x, y, z)`` of a volume; they lie in a file in ``scratch`` that has no name.

    Raises:
        UserError: voxels that can't be read.
    """
    axis, grid, shape = cut.axis, cut.grid, volume.shape
    mean, std = _mean_and_std(volume, made_for, cut)
    ct = ct_of(made_for.channels)
    mask = scratch_mask(shape, scratch)

    def logits(start: int, stop: int) -> Tensor:
        low, high = (
            (start, stop)
            if made_for.sliced
            else _with_windows(start, stop, made_for.patch[axis], grid[axis])
        )
        ready = normalised(_on_grid(volume, cut, low, high), ct, mean, std)
        found = predict_volume(predict, ready.to(device), made_for.patch).float().cpu()
        return found[0].narrow(axis + 1, start - low, stop - start)

    for start in range(0, shape[axis], cut.step):
        stop = min(start + cut.step, shape[axis])
        native = _resampled(logits, axis, grid, shape, start, stop)
        where = [slice(None)] * 3
        where[axis] = slice(start, stop)
        mask[tuple(where)] = decide(native[None], native.shape[1:])[0]
    return mask


def _grid(volume: Volume, made_for: Preprocessing) -> tuple[int, ...]:
    return grid_of(volume.shape, volume.spacing, made_for.spacing)


def _with_windows(start: int, stop: int, patch: int, side: int) -> tuple[int, int]:
    """Planes of all windows that touch those from ``start`` to ``stop``."""
    interval = max(1, int(patch * (1 - OVERLAP)))
    low = max(0, (start - patch) // interval * interval)
    return low, min(side, stop + patch)


def _on_grid(volume: Volume, cut: Plan, start: int, stop: int) -> Tensor:
    """Planes of the resampled volume, ``(C, ...)`` float32."""

    def own(first: int, last: int) -> Tensor:
        planes = np.array(volume.planes(cut.axis, first, last), np.float32)
        return torch.from_numpy(planes)

    return _resampled(own, cut.axis, volume.shape, cut.grid, start, stop)


def _mean_and_std(volume: Volume, made_for: Preprocessing, cut: Plan) -> tuple[Tensor, Tensor]:
    """What to normalise by, as ``data/voxels.py: mean_and_std``; moments of blocks are merged."""
    fixed = ct_of(made_for.channels)
    if all(row is not None for row in fixed):
        mean, std = torch.tensor([row[2:] for row in fixed if row is not None]).T
        return mean, std.clamp(min=1e-6)
    count, side = 0, cut.grid[cut.axis]
    mean = torch.zeros(len(fixed), dtype=torch.float64)
    squares = torch.zeros_like(mean)
    step = max(1, cut.step * side // volume.shape[cut.axis])
    for start in range(0, side, step):
        values = _on_grid(volume, cut, start, min(start + step, side)).flatten(1).double()
        more, own = values.shape[1], values.mean(dim=1)
        apart = own - mean
        squares += ((values - own[:, None]) ** 2).sum(dim=1) + apart**2 * count * more / (count + more)
        mean += apart * more / (count + more)
        count += more
    rows = [
        (float(mean[k]), math.sqrt(float(squares[k]) / count)) if row is None else row[2:]
        for k, row in enumerate(fixed)
    ]
    mean, std = torch.tensor(rows).T
    return mean, std.clamp(min=1e-6)


def _resampled(
    planes: Callable[[int, int], Tensor],
    axis: int,
    own: tuple[int, ...],
    wanted: tuple[int, ...],
    start: int,
    stop: int,
) -> Tensor:
    """Planes ``start`` to ``stop`` of what trilinear interpolation of the whole would give.

    Args:
        planes: gives those of the source, ``(C, ...)``.
        own: the source's sides.
        wanted: the sides of the whole result.
    """
    if own == wanted:
        return planes(start, stop)
    places = (np.arange(start, stop) + 0.5) * own[axis] / wanted[axis] - 0.5
    places = places.clip(0, own[axis] - 1)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, own[axis] - 1)
    first = int(below[0])
    x = planes(first, int(above[-1]) + 1).movedim(axis + 1, 1)
    across = [side for k, side in enumerate(wanted) if k != axis]
    if list(x.shape[2:]) != across:
        x = F.interpolate(x, across, mode="bilinear", align_corners=False)
    part = torch.from_numpy(places - below).to(x.dtype)[:, None, None]
    x = x[:, below - first] * (1 - part) + x[:, above - first] * part
    return x.movedim(1, axis + 1)
