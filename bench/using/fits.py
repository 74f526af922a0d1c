"""Whether an image can be one of those that a network was made for; if not, what is wrong with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.using.preprocessing import Preprocessing

FAR = 10.0
"""Standard deviations of the training images; farther means are of other units (16 bits for 8)."""
SAMPLE = 10_000
"""Pixels, about, that are looked at where all would take long."""


def fault(image: NDArray[np.generic], made_for: Preprocessing) -> str:
    """Nothing for an image ``(C, *spatial)`` that may be one; else what was found and what is expected."""
    return _is_mask(image, made_for) or _has_other_units(image, made_for)


def _is_mask(image: NDArray[np.generic], made_for: Preprocessing) -> str:
    """A mask has few values. One value only may be a black frame."""
    most = len(made_for.classes) + 1
    if len(np.unique(_sample(image)[0])) > most:
        return ""
    values = np.unique(image)
    if not 2 <= len(values) <= most or not np.array_equal(values, np.rint(values)):
        return ""
    shown = ", ".join(f"{value:g}" for value in values.tolist())
    return f"holds only the values {shown}: a mask, not an image"


def _has_other_units(image: NDArray[np.generic], made_for: Preprocessing) -> str:
    """Values that can't be in the units of the training images."""
    low, high = float(image.min()), float(image.max())
    sample = _sample(image).astype(np.float64)
    for number, channel in enumerate(made_for.channels):
        if channel.window is not None and channel.window[0] < 0 <= low < high:
            expected = f"{channel.window[0]:g} to {channel.window[1]:g} and what lies around"
            return (
                f"holds values from {low:g} to {high:g}, none below 0; the network was made for Hounsfield "
                f"units ({expected}): not a CT, or one that is not rescaled"
            )
        if channel.mean is None or channel.std is None:
            continue
        own = sample[number] if channel.window is None else sample[number].clip(*channel.window)
        mean = float(own.mean())
        expected = f"the network was made for values around {channel.mean:.4g} ± {channel.std:.4g}"
        if abs(mean - channel.mean) > FAR * channel.std:
            return f"holds values from {low:g} to {high:g}, {mean:.4g} on average; {expected}"
        scaled = 0 <= low < high <= 1 < channel.std and not np.array_equal(own, np.rint(own))
        if scaled:
            return f"holds values scaled to {low:g} to {high:g}; {expected}"
    return ""


def _sample(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """Some of the pixels ``(C, *spatial)``, evenly spread."""
    dims = image.ndim - 1
    every = max(1, round((image[0].size / SAMPLE) ** (1 / dims)))
    return image[(slice(None), *(slice(None, None, every),) * dims)]
