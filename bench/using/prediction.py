"""A finished network on an image as it comes: prepared as in training, decided as in scoring."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.prepared import Normalisation
from bench.data.prepared_images import resize_image
from bench.data.voxels import ChannelOfCT, grid_of, mean_and_std, normalised, resample
from bench.errors import UserError
from bench.scoring.evaluation import decide, predict_volume
from bench.study.predictions import Labels
from bench.using.preprocessing import Channel, Preprocessing

Predict = Callable[[Tensor], Tensor]
"""A network: images ``(N, C, *spatial)``, normalised, to logits ``(N, out_channels, *spatial)``."""


def predict_array(
    predict: Predict,
    made_for: Preprocessing,
    image: NDArray[np.generic],
    spacing: Sequence[float] | None = None,
    device: torch.device | str = "cpu",
) -> Labels:
    """Class indices ``(*spatial)`` of an image ``(C, *spatial)``, or ``(*spatial)`` where C is one.

    Args:
        predict: the network, on ``device``.
        made_for: what it was made for.
        image: in the units of the training images; a volume in the orientation of the training volumes.
        spacing: of a volume, in mm along each axis; None: that of the training volumes.

    Raises:
        UserError: an image of other dimensions or channels, with values that are not finite, or a spacing
            that can't be.
    """
    x = _as_tensor(image, 3 if made_for.of_volumes else 2, len(made_for.channels))
    if made_for.of_volumes:
        common = made_for.spacing
        own = common if spacing is None else [float(step) for step in spacing]
        if len(own) != len(common) or not all(0 < step < math.inf for step in own):
            raise UserError(f"spacing {own}: must be {len(common)} positive numbers, in mm along each axis")
        volume = resample(x, grid_of(x.shape[1:], own, common))
        ct = ct_of(made_for.channels)
        ready = normalised(volume, ct, *mean_and_std(volume, ct))
        logits = predict_volume(predict, ready.to(device), made_for.patch)
    else:
        ready = prepared_image(x, made_for)
        logits = predict(ready.to(device))
    return decide(logits.float().cpu(), x.shape[1:])[0]


def prepared_image(x: Tensor, made_for: Preprocessing) -> Tensor:
    """A 2-D image ``(C, H, W)`` as the network sees it, ``(1, C, size, size)``."""
    assert made_for.size is not None
    window = made_for.channels[0].window
    if window is not None:
        x = x.clamp(*window)
    mean, std = zip(*((one.mean, one.std) for one in made_for.channels), strict=True)
    return Normalisation(mean, std)(resize_image(x, made_for.size))


def ct_of(channels: Sequence[Channel]) -> list[ChannelOfCT | None]:
    """Channels of volumes as ``bench/data/prepared_volumes.py`` has them."""
    return [
        None
        if one.window is None or one.mean is None or one.std is None
        else (*one.window, one.mean, one.std)
        for one in channels
    ]


def _as_tensor(image: NDArray[np.generic], dims: int, channels: int) -> Tensor:
    """``(C, *spatial)``, float32."""
    x = torch.from_numpy(np.array(image, np.float32))  # a copy: the user's array may be read-only
    shape = tuple(x.shape)
    if len(shape) == dims and channels == 1:
        x = x[None]
    if x.ndim != dims + 1 or len(x) != channels or not x.numel():
        sides = "height, width" if dims == 2 else "x, y, z"
        raise UserError(f"an image of shape {shape}: the network needs ({channels}, {sides})")
    if not bool(x.isfinite().all()):
        raise UserError(f"an image of shape {shape}: it holds NaN or infinite values; all must be finite")
    return x
