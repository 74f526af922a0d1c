"""Dice against what a network costs to run, and the networks that nothing cheaper reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures.gains import logarithmic
from bench.report.figures.placing import laid_out, moved, on_paper, swarm
from bench.report.figures.style import ONE_COLUMN, TWO_COLUMNS, Look, heading, legend, title
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order

COSTS = {
    "latency_cpu_ms_p50": "CPU latency, ms",
    "latency_gpu_ms_p50": "GPU latency, ms",
    "macs": "MACs",
    "parameters": "parameters",
    "peak_memory_inference_mb": "inference memory, MB",
}
SIGN, FURTHEST = 5.5, 20.0
"""The size of a sign, and how far it may move from another that it would hide, in points."""
BESIDE = "signs that would hide another stand beside it"


def dice_against_cost(done: pd.DataFrame, look: Look) -> Figure | None:
    """Dice against latency (p50, batch 1), MACs, parameters and memory; the line is the Pareto front.

    None for a single network.
    """
    score, part = score_column(done)
    shown = [name for name in COSTS if done[name].notna().any()]
    if not shown or done[score].isna().all() or done.architecture.nunique() < 2:
        return None
    columns = min(len(shown), 4)
    width = TWO_COLUMNS if columns > 2 else ONE_COLUMN
    cells = done.groupby(["architecture", "method"], sort=False)[[score, *shown]].mean()
    cells = cells[cells[score].notna()]
    figure, fronts = panels(cells, {name: COSTS[name] for name in shown}, part, (columns, width))
    found = done[done.architecture.isin(cells.index.get_level_values("architecture"))]
    legend(figure, look, in_order(cells.index.get_level_values("method")), by_size(found))
    styles = [
        {"mec": look.colour[method], "mfc": "none", "marker": look.marker[network]}
        for network, method in cells.index
    ]
    with_signs(figure, cells, styles, f"{heading(done)}{'; line: Pareto front' if fronts > 1 else ''}")
    return figure


def panels(
    cells: pd.DataFrame, costs: Mapping[str, str], part: str, shape: tuple[int, float], below: float = 0.0
) -> tuple[Figure, int]:
    """A panel a cost, with its Pareto front and still without signs; and how many points a front has.

    Args:
        cells: a row a sign; the Dice first, then the columns of ``costs``.
        costs: names on axes by column.
        part: which patients the Dice is of.
        shape: panels side by side, and the figure's width in inches.
        below: further inches of height, for a long legend.
    """
    columns, width = shape
    rows = -(-len(costs) // columns)
    size = (width, 0.6 + 2.0 * rows + below)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    score, fronts = cells.iloc[:, 0], 0
    for axis, (column, name) in zip(axes.flat, costs.items(), strict=False):
        edge = pareto_front(cells[column], score)
        fronts = max(fronts, len(edge))
        axis.step(edge.index, edge, where="post", color="0.75", lw=1.2, zorder=1)
        axis.plot(cells[column], score, "o", alpha=0)
        logarithmic(axis)
        axis.margins(x=0.15)  # room for signs that are moved
        axis.set_xlabel(name)
        axis.grid(axis="both")
    for axis in axes.flat[len(costs) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel(f"Dice ({part})")
    return figure, fronts


def with_signs(figure: Figure, cells: pd.DataFrame, styles: Sequence[Mapping[str, Any]], said: str) -> None:
    """Put the signs into a figure of ``panels`` that has its legend; ``said`` above it.

    Args:
        figure: of ``panels``.
        cells: as it had them.
        styles: of each row, its marker and colours.
        said: the title, to which it is added that signs were moved, where one was.
    """
    title(figure, f"{said}; {BESIDE}")
    laid_out(figure)
    score, *costs = cells.columns
    moved_one = False
    for axis, column in zip(figure.axes, costs, strict=False):
        known = cells[column].notna()
        own = [style for style, keep in zip(styles, known, strict=True) if keep]
        moved_one |= spread_out(axis, cells.loc[known, [column, score]], own)
    if not moved_one:
        title(figure, said)


def spread_out(axis: plt.Axes, cells: pd.DataFrame, styles: Sequence[Mapping[str, Any]]) -> bool:
    """A sign for each row of (cost, Dice), beside another that it would hide; whether one was moved.

    Args:
        axis: of a figure that is laid out.
        cells: the values, two columns.
        styles: of each row, its marker and colours.
    """
    x, y = cells.iloc[:, 0].to_numpy(), cells.iloc[:, 1].to_numpy()
    offsets = swarm(on_paper(axis, x, y), SIGN, FURTHEST)
    for style, cost, dice, by in zip(styles, x, y, offsets, strict=True):
        axis.plot(cost, dice, mew=1.1, ms=SIGN, transform=moved(axis, by), **style)
    return bool(offsets.any())


def pareto_front(cost: pd.Series, score: pd.Series) -> pd.Series:
    """The best score by cost, cheapest first: only what nothing cheaper or as cheap reaches."""
    known = pd.DataFrame({"cost": cost.to_numpy(), "score": score.to_numpy()}).dropna()
    ordered = known.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    best = ordered.score.cummax()
    kept = ordered[ordered.score > best.shift(fill_value=float("-inf"))]
    return pd.Series(kept.score.to_numpy(), index=kept.cost.to_numpy())
