"""Points that would hide each other, moved apart: by how much sideways, in points of print.

The axes keep their values: only the drawn sign moves (``moved``), and whoever moves one says so above the
figure.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

POINTS = 72.0
"""Points of print in an inch."""
Floats = NDArray[np.float64]


def laid_out(figure: Figure) -> None:
    """Fix limits and sizes of the axes, so that places on paper are known."""
    figure.draw_without_rendering()
    for axis in figure.axes:
        axis.set(xlim=axis.get_xlim(), ylim=axis.get_ylim())


def on_paper(axis: plt.Axes, x: ArrayLike, y: ArrayLike) -> Floats:
    """Where values of a figure that is laid out are printed, ``(n, 2)`` in points."""
    values = np.column_stack([np.asarray(x, dtype=float), np.asarray(y, dtype=float)])
    pixels = axis.transData.transform(values)
    return np.asarray(pixels * POINTS / axis.figure.dpi)


def moved(axis: plt.Axes, by: float) -> Transform:
    """Values of the axes, printed ``by`` points further right."""
    return axis.transData + ScaledTranslation(by / POINTS, 0, axis.figure.dpi_scale_trans)


def swarm(places: Floats, size: float, furthest: float) -> Floats:
    """How far each of ``(n, 2)`` places moves sideways so that signs of ``size`` don't overlap.

    The nearest free place to either side; where there is none within ``furthest``, the sign stays.
    """
    steps = np.arange(1, int(2 * furthest / size) + 1) * size / 2
    tried = np.concatenate([[0.0], np.column_stack([steps, -steps]).ravel()])
    taken = np.empty((0, 2))
    found = np.zeros(len(places))
    for k in np.argsort(places[:, 1], kind="stable"):
        own = places[k] + np.column_stack([tried, np.zeros_like(tried)])
        near = np.hypot(*(own[:, None, :] - taken[None, :, :]).transpose(2, 0, 1)) < 0.999 * size
        free = np.flatnonzero(~near.any(axis=1))
        if len(free):
            found[k] = tried[free[0]]
        taken = np.vstack([taken, places[k] + [found[k], 0.0]])
    return found


def apart(x: ArrayLike, gap: float) -> Floats:
    """How far each of the values moves so that all are ``gap`` apart in their order (least squares)."""
    values = np.asarray(x, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    placed = np.empty(len(values))
    placed[order] = isotonic_regression(values[order] - steps).x + steps if len(values) else []
    return np.asarray(placed - values)
