"""What distillation gives: against the student's size, as a share of the gap, and whether it is claimed."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

from bench.report.comparisons import shown_interval
from bench.report.figures.style import (
    ONE_COLUMN,
    colours,
    heading,
    legend,
    markers,
    plain,
    title,
    two_lines,
)
from bench.report.frames import by_size
from bench.report.method_names import in_order, label

CLAIMED = ("gain", "harm")


def gain_by_size(done: pd.DataFrame, compared: pd.DataFrame) -> Figure | None:
    """Gain over the plain student, with its interval, against parameters; hollow: nothing is claimed."""
    gains = compared[compared.against == "baseline"]
    if not len(gains):
        return None
    networks = [name for name in by_size(done) if name in set(gains.architecture)]
    methods = in_order(gains.method)
    colour, marker = colours(methods), markers(networks)
    sizes = done.groupby("architecture").parameters.first()
    figure, axis = plt.subplots(figsize=(ONE_COLUMN, 3.1))
    axis.axhline(0, color="0.4", lw=0.8)
    for gain in gains.itertuples():
        x = sizes[gain.architecture] * 10 ** (0.045 * (methods.index(gain.method) - (len(methods) - 1) / 2))
        own = colour[gain.method]
        axis.plot([x, x], [100 * end for end in shown_interval(gain)], color=own)
        face = own if gain.verdict in CLAIMED else "white"
        axis.plot(x, 100 * gain.difference, marker[gain.architecture], color=own, mfc=face, mew=1.1, ms=5.5)
    students = sizes[networks]
    axis.set_xlim(students.min() / 2, students.max() * 2)  # else one student would fill the axis
    logarithmic(axis)
    axis.set_xlabel("parameters of the student")
    axis.set_ylabel("gain over plain, Dice points")
    axis.grid(axis="y")
    few = "" if gains.verdict.isin(CLAIMED).all() else "; hollow: no claim"
    title(figure, f"{heading(done)}: 95 % interval {_of(gains)}{few}")
    legend(figure, methods, networks)
    return figure


def share_of_gap(done: pd.DataFrame, shares: pd.DataFrame) -> Figure | None:
    """Which share of the gap between plain student and teacher each method closes, with its interval."""
    if not len(shares):
        return None
    networks = [name for name in by_size(done) if name in set(shares.architecture)]
    methods = in_order(shares.method)
    colour, marker = colours(methods), markers(networks)
    figure, axis = plt.subplots(figsize=(ONE_COLUMN, 2.8))
    for level in (0, 1):
        axis.axhline(level, color="0.4", lw=0.8)
    for row in shares.itertuples():
        x = networks.index(row.architecture) + 0.2 * (methods.index(row.method) - (len(methods) - 1) / 2)
        own = colour[row.method]
        axis.plot([x, x], [row.low, row.high], color=own, marker="_", ms=4)
        axis.plot(x, row.share, marker[row.architecture], color=own, ms=4.5)
    axis.set_xticks(range(len(networks)), [two_lines(name) for name in networks])
    axis.set_xlim(-0.5, len(networks) - 0.5)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_ylabel("gap to the teacher closed")
    axis.grid(axis="y")
    title(figure, f"{heading(done)}: 0 plain, 100 % teacher; intervals: these networks")
    legend(figure, methods)
    return figure


def significance_map(done: pd.DataFrame, compared: pd.DataFrame) -> Figure | None:
    """Gain with its interval of every student and method; coloured where it is claimed, else grey."""
    gains = compared[compared.against == "baseline"]
    if not len(gains):
        return None
    networks = [name for name in by_size(done) if name in set(gains.architecture)]
    methods = in_order(gains.method)
    figure, axis = plt.subplots(figsize=(ONE_COLUMN, 0.9 + 0.42 * len(networks)))
    largest = max(1.0, 100 * gains.difference.abs().max())
    scale = plt.get_cmap("PuOr")
    for gain in gains.itertuples():
        row, column = networks.index(gain.architecture), methods.index(gain.method)
        claim = gain.verdict in CLAIMED
        value = 0.5 + 0.4 * (100 * gain.difference) / largest
        face = scale(value) if claim else (0.93, 0.93, 0.93)
        axis.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fc=face, ec="white", lw=1.5))
        text = f"{100 * gain.difference:+.1f}"
        low, high = shown_interval(gain)
        if not np.isnan(low):
            text += f"\n[{100 * low:+.1f}, {100 * high:+.1f}]"
        dark = claim and _dark(face)
        axis.text(
            *(column, row, text.replace("-", "−")),
            ha="center",
            va="center",
            fontsize=7,
            color="white" if dark else "black" if claim else "0.4",
            fontweight="bold" if claim else "normal",
        )
    axis.set_xlim(-0.5, len(methods) - 0.5)
    axis.set_ylim(len(networks) - 0.5, -0.5)
    axis.set_xticks(range(len(methods)), [plain(label(m)) for m in methods])
    axis.set_yticks(range(len(networks)), [two_lines(name) for name in networks])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    title(figure, f"{heading(done)}: gain in points, 95 % interval {_of(gains)}; grey: no claim")
    return figure


def _of(compared: pd.DataFrame) -> str:
    """What the shown intervals hold for."""
    return "of these networks" if compared.low_method.isna().all() else "over folds"


def logarithmic(axis: plt.Axes) -> None:
    """A logarithmic x with few, readable ticks."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _dark(colour: tuple[float, ...]) -> bool:
    """Whether white stands out more than black on it (WCAG 2's relative luminance)."""
    red, green, blue = (part**2.2 for part in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179
