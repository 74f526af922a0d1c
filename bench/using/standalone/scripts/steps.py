"""What happens to an image before and after the network, as numbers in configs/inference.json say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Network = Callable[[np.ndarray], np.ndarray]
"""Normalised images ``(N, C, *sides)``, float32, to logits ``(N, K, *sides)``."""
FAR = 10.0
"""Standard deviations of the training images; farther means are of other units."""


def check(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> None:
    """Refuse what the network was not made for."""
    if not np.isfinite(x).all():
        raise ValueError("holds NaN or infinite values; all must be finite")
    for values, known in zip(x, channels, strict=True):
        low, _ = known["window"] or (0, 0)
        if low < 0 <= values.min() < values.max():
            raise ValueError("holds no value below 0; the network was made for Hounsfield units")
        if known["mean"] is None or known["std"] is None:
            continue
        own = values.clip(*known["window"]) if known["window"] else values
        mean, std = float(own.mean(dtype=np.float64)), known["std"]
        far = abs(mean - known["mean"]) > FAR * std  # 16 bits where 8 were trained on, say
        scaled = 0 <= x.min() < x.max() <= 1 < std and bool((own % 1).any())
        if far or scaled:
            raise ValueError(
                f"holds values from {x.min():.4g} to {x.max():.4g}, {mean:.4g} on average; the network was "
                f"made for values around {known['mean']:.4g} ± {std:.4g}"
            )


def clip(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> np.ndarray:
    """Each channel to its window, where it has one."""
    pairs = zip(x, channels, strict=True)
    return np.stack([v.clip(*known["window"]) if known["window"] else v for v, known in pairs])


def normalise(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> np.ndarray:
    """Each channel by its mean and standard deviation, or where they are null by its own."""
    rows = []
    for values, known in zip(x, channels, strict=True):
        mean = values.mean(dtype=np.float64) if known["mean"] is None else known["mean"]
        std = max(values.std(dtype=np.float64), 1e-6) if known["std"] is None else known["std"]
        rows.append((values - np.float32(mean)) / np.float32(std))
    return np.stack(rows)


def stretch(x: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """``(C, *old)`` to ``(C, *sides)``: linear, centres of pixels in line, edges repeated."""
    for axis, side in enumerate(sides, start=1):
        old = x.shape[axis]
        if old != side:
            at = ((np.arange(side) + 0.5) * old / side - 0.5).clip(0, old - 1)
            low = at.astype(int)
            part = (at - low).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1 - axis))
            high = np.minimum(low + 1, old - 1)
            x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def decide(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Logits ``(K, *sides)`` to numbers of classes; 0 is the background."""
    if len(logits) == 1:
        return (logits[0] > math.log(threshold / (1 - threshold))).astype(np.uint8)
    return logits.argmax(axis=0).astype(np.uint8)
