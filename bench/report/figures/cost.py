"""Dice against what a network costs to run, and the networks that nothing cheaper reaches."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures.gains import logarithmic
from bench.report.figures.style import ONE_COLUMN, TWO_COLUMNS, colours, heading, legend, markers, title
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order

COSTS = {
    "latency_cpu_ms_p50": "CPU latency, ms",
    "latency_gpu_ms_p50": "GPU latency, ms",
    "macs": "MACs",
    "parameters": "parameters",
    "peak_memory_inference_mb": "inference memory, MB",
}


def dice_against_cost(done: pd.DataFrame) -> Figure | None:
    """Dice against latency (p50, batch 1), MACs, parameters and memory; the line is the Pareto front.

    None for a single network.
    """
    score, part = score_column(done)
    shown = [name for name in COSTS if done[name].notna().any()]
    if not shown or done[score].isna().all() or done.architecture.nunique() < 2:
        return None
    networks, methods = by_size(done), in_order(done.method)
    colour, marker = colours(methods), markers(networks)
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    width = TWO_COLUMNS if columns > 2 else ONE_COLUMN
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, 0.6 + 2.0 * rows), sharey=True, squeeze=False
    )
    cells = done.groupby(["architecture", "method"], sort=False)[[score, *shown]].mean()
    for axis, column in zip(axes.flat, shown, strict=False):
        edge = pareto_front(cells[column], cells[score])
        axis.step(edge.index, edge, where="post", color="0.75", lw=1.2, zorder=1)
        for (network, method), cell in cells.iterrows():
            axis.plot(
                *(cell[column], cell[score], marker[network]),
                mec=colour[method],
                mfc="none",
                mew=1.1,
                ms=5.5,
            )
        logarithmic(axis)
        axis.set_xlabel(COSTS[column])
        axis.grid(axis="both")
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel(f"Dice ({part})")
    title(figure, f"{heading(done)}; line: Pareto front")
    legend(figure, methods, networks)
    return figure


def pareto_front(cost: pd.Series, score: pd.Series) -> pd.Series:
    """The best score by cost, cheapest first: only what nothing cheaper or as cheap reaches."""
    known = pd.DataFrame({"cost": cost.to_numpy(), "score": score.to_numpy()}).dropna()
    ordered = known.sort_values(["cost", "score"], ascending=[True, False], kind="stable")
    best = ordered.score.cummax()
    kept = ordered[ordered.score > best.shift(fill_value=float("-inf"))]
    return pd.Series(kept.score.to_numpy(), index=kept.cost.to_numpy())
