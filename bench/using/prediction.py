"""A finished network on an image as it comes: prepared as in training, decided as in scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.prepared import Normalisation
from bench.data.prepared_images import resize_image
from bench.data.prepared_volumes import ChannelOfCT, grid_of, mean_and_std, normalised, resample
from bench.errors import UserError
from bench.job import Job
from bench.scoring.evaluation import decide, predict_volume
from bench.study.predictions import Labels
from methods.artefact import Artefact


def predict_array(
    artefact: Artefact,
    job: Job,
    facts: dict[str, Any],
    image: NDArray[np.generic],
    spacing: Sequence[float] | None = None,
) -> Labels:
    """Class indices ``(*spatial)`` of an image ``(C, *spatial)``, or ``(*spatial)`` where C is one.

    Args:
        artefact: on the processor.
        job: what made it.
        facts: of the data it was trained on, as the record keeps them.
        image: in the units of the training images.
        spacing: of a volume, in mm along each axis; None: that of the training volumes.

    Raises:
        UserError: an image of other dimensions or channels, with values that are not finite, or a spacing
            that can't be.
    """
    x = _as_tensor(image, 3 if "patch" in facts else 2, job.in_channels)
    if "patch" in facts:
        common = facts["spacing_mm"]
        own = common if spacing is None else [float(step) for step in spacing]
        if len(own) != len(common) or not all(0 < step < math.inf for step in own):
            raise UserError(f"spacing {own}: must be {len(common)} positive numbers, in mm along each axis")
        volume = resample(x, grid_of(x.shape[1:], own, common))
        ct = [_of_ct(row) for row in facts["normalisation"]]
        ready = normalised(volume, ct, *mean_and_std(volume, ct))
        logits = predict_volume(artefact.predict, ready, facts["patch"])
    else:
        if "window" in facts:
            x = x.clamp(*facts["window"])
        normalise = Normalisation(facts["mean"], facts["std"])
        logits = artefact.predict(normalise(resize_image(x, job.image_size)))
    return decide(logits.float().cpu(), x.shape[1:])[0]


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


def _of_ct(row: Any) -> ChannelOfCT | None:
    """A channel's normalisation as a record has it."""
    return None if row == "per volume" else (row["low"], row["high"], row["mean"], row["std"])
