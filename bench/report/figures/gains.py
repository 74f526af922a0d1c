"""What distillation gives: against the student's size, as a share of the gap, and whether it is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from bench.report.comparisons import shown_interval
from bench.report.figures.placing import apart, laid_out, moved, on_paper
from bench.report.figures.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    Look,
    heading,
    legend,
    plain,
    title,
    two_lines,
)
from bench.report.frames import by_size
from bench.report.gaps import NO_GAP
from bench.report.method_names import in_order, label
from bench.report.statistics import MIN_GAP

CLAIMED = ("gain", "harm")
GAP = 6.0
"""Between two signs of the gains, in points."""
STEPS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
"""Of each power of ten the multiples that may have a tick."""
FEWEST, MOST = 3, 5
"""Ticks of an axis: fewer tell no scale, more would overlap."""
DRAWN = (-1.0, 2.0)
"""A share of the gap whose interval is not within these says nothing that a picture could show."""


def gain_by_size(done: pd.DataFrame, compared: pd.DataFrame, look: Look) -> Figure | None:
    """Gain over the plain student, with its interval, against parameters; hollow: nothing is claimed."""
    gains = compared[compared.against == "baseline"]
    sizes = done.groupby(["architecture", "method"]).parameters.first()
    x = sizes.reindex(pd.MultiIndex.from_frame(gains[["architecture", "method"]])).to_numpy(dtype=float)
    gains, x = gains[~np.isnan(x)], x[~np.isnan(x)]
    if not len(gains):
        return None
    networks = [name for name in by_size(done) if name in set(gains.architecture)]
    methods = in_order(gains.method)
    place = [methods.index(method) for method in gains.method]
    figure, axis = plt.subplots(figsize=(ONE_COLUMN, 3.1))
    axis.axhline(0, color="0.4", lw=0.8)
    ends = [100 * end for row in gains.itertuples() for end in (row.difference, *shown_interval(row))]
    axis.plot(np.repeat(x, 3), ends, "o", alpha=0)
    axis.set_xlim(x.min() / 2, x.max() * 2)  # else one student would fill the axis
    logarithmic(axis)
    axis.set_xlabel("parameters of the student")
    axis.set_ylabel("gain over plain, Dice points")
    axis.grid(axis="y")
    hollow = "" if gains.verdict.isin(CLAIMED).all() else "; hollow: no claim"
    beside = "; methods of a network side by side" if len(methods) > 1 else ""
    title(figure, f"{heading(done)}{_intervals(gains)}{hollow}{beside}")
    legend(figure, look, methods, networks)
    laid_out(figure)
    printed = on_paper(axis, x, np.zeros(len(x)))[:, 0]
    order = np.lexsort((np.array(place), printed))  # those of a network in the order of methods
    offsets = np.empty(len(x))
    offsets[order] = apart(printed[order], GAP)
    for gain, size, by in zip(gains.itertuples(), x, offsets, strict=True):
        colour, where = look.colour[gain.method], moved(axis, by)
        axis.plot([size, size], [100 * end for end in shown_interval(gain)], color=colour, transform=where)
        face = colour if gain.verdict in CLAIMED else "white"
        style = {"color": colour, "mfc": face, "mew": 1.1, "ms": 5.5, "transform": where}
        axis.plot(size, 100 * gain.difference, marker=look.marker[gain.architecture], **style)
    return figure


def share_of_gap(done: pd.DataFrame, shares: pd.DataFrame, look: Look) -> Figure | None:
    """Which share of the gap between plain student and teacher each method closes, with its interval.

    What has no gap, or a share that these patients leave open by more than ``DRAWN``, is named instead of
    drawn. None where nothing is left to draw.
    """
    known = shares[[_is_drawn(row) for row in shares.itertuples()]]
    if not len(known):
        return None
    networks = [name for name in by_size(done) if name in set(shares.architecture)]
    methods = in_order(shares.method)
    figure, axis = plt.subplots(figsize=(ONE_COLUMN if len(networks) <= 4 else TWO_COLUMNS, 2.8))
    for level in (0, 1):
        axis.axhline(level, color="0.4", lw=0.8)
    step = min(0.2, 0.8 / len(methods))
    for row in shares.itertuples():
        x = networks.index(row.architecture) + step * (methods.index(row.method) - (len(methods) - 1) / 2)
        own = look.colour[row.method]
        if _is_drawn(row):
            axis.plot([x, x], [row.low, row.high], color=own, marker="_", ms=4)
            axis.plot(x, row.share, marker=look.marker[row.architecture], color=own, ms=4.5)
        else:
            style = {"ha": "center", "va": "center", "rotation": 90, "fontsize": 7, "color": own}
            axis.text(x, 0.5, NO_GAP if row.share == NO_GAP else "open", **style)
    axis.set_xticks(range(len(networks)), [two_lines(name) for name in networks])
    axis.set_xlim(-0.5, len(networks) - 0.5)
    axis.set_ylim(min(-0.1, known.low.min() - 0.05), max(1.1, known.high.max() + 0.05))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_ylabel("gap to the teacher closed")
    axis.grid(axis="y")
    words = ["0 plain, 100 % teacher", "intervals: these networks"]
    if (shares.share == NO_GAP).any():
        words.append(f"{NO_GAP}: less than {100 * MIN_GAP:.0f} points, or its interval reaches zero")
    if len(known) + (shares.share == NO_GAP).sum() < len(shares):
        words.append(f"open: its interval is not within {DRAWN[0]:.0%} … {DRAWN[1]:.0%}".replace("-", "−"))
    title(figure, f"{heading(done)}: {'; '.join(words)}")
    legend(figure, look, methods)
    return figure


def _is_drawn(row: Any) -> bool:
    """Whether a share is known well enough to be drawn."""
    return row.share != NO_GAP and DRAWN[0] <= row.low <= row.high <= DRAWN[1]


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
    grey = "" if gains.verdict.isin(CLAIMED).all() else "; grey: no claim"
    title(figure, f"{heading(done)}: gain in points{_intervals(gains).replace(':', ',', 1)}{grey}")
    return figure


def _intervals(compared: pd.DataFrame) -> str:
    """What the shown intervals hold for; empty where there are none."""
    over_folds = compared.low_method.notna()
    of_networks = compared.low.notna() & ~over_folds
    if over_folds.any() and of_networks.any():
        return ": 95 % interval over folds where there are three, else of these networks"
    if over_folds.any():
        return ": 95 % interval over folds"
    return ": 95 % interval of these networks" if of_networks.any() else ""


def logarithmic(axis: plt.Axes) -> None:
    """A logarithmic x with few, readable ticks."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(_FewTicks())
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.xaxis.set_minor_formatter(NullFormatter())


class _FewTicks(LogLocator):
    """Ticks at the finest of ``STEPS`` that gives few enough; between near limits at equal distances."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        powers = 10.0 ** np.arange(np.floor(np.log10(vmin)), np.ceil(np.log10(vmax)) + 1)
        found = [np.outer(powers, steps).ravel() for steps in STEPS]
        found = [ticks[(vmin <= ticks) & (ticks <= vmax)] for ticks in found]
        if len(found[0]) < FEWEST:
            even = MaxNLocator(MOST, min_n_ticks=FEWEST, steps=[1, 2, 2.5, 5, 10])
            return list(even.tick_values(vmin, vmax))
        return list(next((ticks for ticks in found if FEWEST <= len(ticks) <= MOST), found[-1]))


def _dark(colour: tuple[float, ...]) -> bool:
    """Whether white stands out more than black on it (WCAG 2's relative luminance)."""
    red, green, blue = (part**2.2 for part in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.179
