"""Dice against cost of everything that was made: as trained, pruned, quantised, in other runtimes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.cost import pareto_front, spread_out
from bench.report.figures.gains import logarithmic
from bench.report.figures.placing import laid_out
from bench.report.figures.style import TWO_COLUMNS, Look, by_row, heading, palette, plain, title
from bench.report.frames import by_size, score_column

COSTS = {
    "latency_cpu_1_ms_p50": "latency on one thread, ms",
    "latency_cpu_ms_p50": "latency on all threads, ms",
    "size_mb": "file, MB",
    "peak_memory_inference_mb": "inference memory, MB",
    "macs": "MACs",
    "parameters": "parameters",
}
COUNTED = ("macs", "parameters")
"""In thousands and millions; the others have a unit."""
AS_TRAINED = "as trained"
COLUMNS = 3


def dice_against_cost_of_made(done: pd.DataFrame, look: Look) -> Figure | None:
    """A panel a cost: colours are what was done after training, signs networks, filled what was distilled.

    The line is the Pareto front. None where nothing was made from a trained network.

    Args:
        done: the finished jobs of one L_seg, what was made from others too.
        look: the markers of the study's networks.
    """
    score, part = score_column(done)
    shown = [name for name in COSTS if done[name].notna().any()]
    if not (done.source != "").any() or not shown or done[score].isna().all():
        return None
    cells = done.groupby(["architecture", "recipe"], sort=False)[[score, *shown]].mean()
    cells = cells[cells[score].notna()]
    ways = [way_of(recipe) for recipe in cells.index.get_level_values("recipe")]
    colour = dict(zip(dict.fromkeys(ways), palette(), strict=False))
    # More ways than colours: the last ones are grey, and the table tells them apart.
    face = {way: colour.get(way, (0.5, 0.5, 0.5)) for way in ways}
    rows = -(-len(shown) // COLUMNS)
    size = (TWO_COLUMNS, 0.6 + 2.0 * rows + 0.15 * len(face) / 4)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes.flat, shown, strict=False):
        edge = pareto_front(cells[column], cells[score])
        axis.step(edge.index, edge, where="post", color="0.75", lw=1.2, zorder=1)
        axis.plot(cells[column], cells[score], "o", alpha=0)
        logarithmic(axis)
        if column not in COUNTED:
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.margins(x=0.15)
        axis.set_xlabel(COSTS[column])
        axis.grid(axis="both")
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel(f"Dice ({part})")
    filled = any(not is_plain(recipe) for recipe in cells.index.get_level_values("recipe"))
    told = f"{heading(done)}; line: Pareto front{'; filled: distilled' if filled else ''}"
    title(figure, f"{told}; signs that would hide another stand beside it")
    signs = [Line2D([], [], ls="", marker="o", color=face[way], label=plain(way)) for way in face]
    networks = by_size(done)
    by_row(figure, signs, [_sign(look, name) for name in networks])
    laid_out(figure)
    for axis, column in zip(axes.flat, shown, strict=False):
        styles = [
            {
                "mec": face[way_of(recipe)],
                "mfc": "none" if is_plain(recipe) else face[way_of(recipe)],
                "marker": look.marker[network],
            }
            for (network, recipe), value in cells[column].items()
            if not pd.isna(value)
        ]
        spread_out(axis, cells[[column, score]].dropna(), styles)
    return figure


def way_of(recipe: str) -> str:
    """What was done after training, ``prune > int8``."""
    return recipe.partition(" > ")[2] or AS_TRAINED


def is_plain(recipe: str) -> bool:
    """Whether no teacher had part in it."""
    return recipe.partition(" > ")[0] == "baseline"


def _sign(look: Look, network: str) -> Line2D:
    return Line2D([], [], ls="", marker=look.marker[network], color="0.4", ms=5, label=plain(network))
