"""Dice against cost of everything that was made: as trained, pruned, quantised, in other runtimes."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures.cost import panels, with_signs
from bench.report.figures.style import TWO_COLUMNS, Look, by_row, heading, palette, plain
from bench.report.frames import by_size, score_column
from bench.report.making import making

COSTS = {
    "latency_cpu_1_ms_p50": "latency on one thread, ms",
    "latency_cpu_ms_p50": "latency on all threads, ms",
    "latency_cpu_1_ms_256": "at 256², one thread, ms",
    "latency_cpu_1_ms_512": "at 512², one thread, ms",
    "made_in": "making it, s",
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
    seconds = making(done)
    done = done.assign(made_in=[seconds[name].total for name in done.id])
    shown = [name for name in COSTS if done[name].notna().any()]
    if not (done.source != "").any() or not shown or done[score].isna().all():
        return None
    cells = done.groupby(["architecture", "recipe"], sort=False)[[score, *shown]].mean()
    cells = cells[cells[score].notna()]
    ways = [way_of(recipe) for recipe in cells.index.get_level_values("recipe")]
    colour = dict(zip(dict.fromkeys(ways), palette(), strict=False))
    # More ways than colours: the last ones are grey, and the table tells them apart.
    face = {way: colour.get(way, (0.5, 0.5, 0.5)) for way in ways}
    costs = {name: COSTS[name] for name in shown}
    figure, fronts = panels(cells, costs, part, (COLUMNS, TWO_COLUMNS), below=0.15 * len(face) / 4)
    for axis, column in zip(figure.axes, shown, strict=False):
        if column not in COUNTED:
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    filled = any(not is_plain(recipe) for recipe in cells.index.get_level_values("recipe"))
    signs = [Line2D([], [], ls="", marker="o", color=face[way], label=plain(way)) for way in face]
    by_row(figure, signs, [_sign(look, name) for name in by_size(done)])
    styles = [
        {
            "mec": face[way_of(recipe)],
            "mfc": "none" if is_plain(recipe) else face[way_of(recipe)],
            "marker": look.marker[network],
        }
        for network, recipe in cells.index
    ]
    said = f"{heading(done)}{'; line: Pareto front' if fronts > 1 else ''}"
    if _of_unlike_folds(done):
        said += "; not all signs are of the same folds, so some are of other patients"
    with_signs(figure, cells, styles, f"{said}{'; filled: distilled' if filled else ''}")
    return figure


def _of_unlike_folds(done: pd.DataFrame) -> bool:
    """Whether some signs are means over other folds than others are, as in a study that is not finished."""
    folds = done.dropna(subset="fold").groupby(["architecture", "recipe"]).fold
    return len({frozenset(own) for _, own in folds}) > 1


def way_of(recipe: str) -> str:
    """What was done after training, ``prune > int8``."""
    return recipe.partition(" > ")[2] or AS_TRAINED


def is_plain(recipe: str) -> bool:
    """Whether no teacher had part in it."""
    return recipe.partition(" > ")[0] == "baseline"


def _sign(look: Look, network: str) -> Line2D:
    return Line2D([], [], ls="", marker=look.marker[network], color="0.4", ms=5, label=plain(network))
