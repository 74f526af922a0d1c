"""Dice itself: by method and network with every patient, and against the size of the organ."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.report.comparisons import levels
from bench.report.figures.placing import laid_out, on_paper, swarm
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
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order
from bench.report.statistics import MIN_PATIENTS

STEP = 0.2
"""Between two methods of a network, which are 1 apart."""
MOST_METHODS = 5
"""As many have room side by side; of more the steps are smaller."""
DOT = 1.7
"""The size of a patient's point, in points."""
BINS = 5
MOST_COLUMNS = 4


def dice_by_method(done: pd.DataFrame, cases: pd.DataFrame, look: Look) -> Figure:
    """Mean Dice of each cell with its interval beside every patient's point; largest network first."""
    networks, methods = by_size(done), in_order(done.method)
    of = {name: in_order(done[done.architecture == name].method) for name in networks}
    step = STEP * min(1.0, MOST_METHODS / max(len(own) for own in of.values()))
    figure, axis = plt.subplots(figsize=(ONE_COLUMN if len(networks) <= 2 else TWO_COLUMNS, 2.9))
    patients = cases.groupby(["architecture", "method", "patient"]).dice.mean().dropna()
    clouds = []
    found = levels(done, cases)
    for cell in found.itertuples():
        own, shown = look.colour[cell.method], of[cell.architecture]
        x = networks.index(cell.architecture) + step * (shown.index(cell.method) - (len(shown) - 1) / 2)
        points = patients.get((cell.architecture, cell.method), pd.Series(dtype=float)).to_numpy()
        clouds.append((x - 0.25 * step, points, own))
        right = x + 0.35 * step
        axis.plot([right] * 2, [cell.low, cell.high], color=own, lw=1.4, solid_capstyle="butt")
        style = {"marker": look.marker[cell.architecture], "mec": "white", "mew": 0.5, "ms": 5.5}
        axis.plot(right, cell.dice, color=own, **style)
        axis.plot([x] * len(points), points, alpha=0)
    axis.set_xticks(range(len(networks)), [two_lines(name) for name in networks])
    axis.set_xlim(-0.5, len(networks) - 0.5)
    axis.set_ylabel(f"Dice ({score_column(done)[1]})")
    axis.grid(axis="y")
    known = found.low.notna()
    mean = "mean" if not known.any() else "mean and 95 % interval of these networks"
    few = f" (of {MIN_PATIENTS} patients and more)" if known.any() and not known.all() else ""
    said = f"{heading(done)}: every patient, like ones side by side; {mean}{few}"
    title(figure, said)
    legend(figure, look, methods)
    laid_out(figure)
    unit = (on_paper(axis, [1], [0]) - on_paper(axis, [0], [0]))[0, 0]
    for x, points, colour in clouds:
        by = swarm(on_paper(axis, [x] * len(points), points), DOT, 0.3 * step * unit)
        axis.plot(x + by / unit, points, ".", color=colour, ms=2 * DOT, mew=0)
    return figure


def dice_by_organ_size(done: pd.DataFrame, cases: pd.DataFrame, look: Look) -> Figure | None:
    """Dice of every case against the size of its mask; lines: means over fifths of the cases.

    None where the records don't hold ``organ_size`` (those of before it was kept), or where all cases
    are equally large.
    """
    if "organ_size" not in cases:
        return None
    cases = cases[cases.organ_size > 0].dropna(subset=["dice"])
    if cases.organ_size.nunique() < 2 * BINS:
        return None
    networks = [name for name in by_size(done) if name in set(cases.architecture)]
    methods = in_order(cases.method)
    columns = min(MOST_COLUMNS, len(networks))
    rows = -(-len(networks) // columns)
    width = ONE_COLUMN if columns <= 2 else TWO_COLUMNS
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, 0.8 + 1.8 * rows), sharex=True, sharey=True, squeeze=False
    )
    means = cases.groupby(["architecture", "method", "case"])[["organ_size", "dice"]].mean()
    for axis, network in zip(axes.flat, networks, strict=False):
        for method in (m for m in methods if (network, m) in means.index.droplevel("case")):
            own = means.loc[network, method]
            axis.plot(own.organ_size, own.dice, ".", color=look.colour[method], alpha=0.25, ms=2.5, mew=0)
            fifth = pd.qcut(own.organ_size, BINS, labels=False, duplicates="drop")
            line = own.assign(organ_size=np.log(own.organ_size)).groupby(fifth).mean()
            style = {"marker": look.marker[network], "ms": 3.5, "mec": "white", "mew": 0.4}
            axis.plot(np.exp(line.organ_size), line.dice, color=look.colour[method], **style)
        axis.set_xscale("log")
        axis.set_title(plain(network), fontsize=7)
        volumes = (done.spatial_dims == 3).any() or (done.slices != "").any()
        axis.set_xlabel("organ, voxels" if volumes else "organ, pixels")
        axis.grid(axis="y")
    for axis in axes.flat[len(networks) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel(f"Dice ({score_column(done)[1]})")
    title(figure, f"{heading(done)}: every case; means over fifths")
    legend(figure, look, methods)
    return figure
