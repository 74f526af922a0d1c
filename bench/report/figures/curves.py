"""Training loss and validation Dice by epoch."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.captions import repeat
from bench.report.figures.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    colours,
    dashes,
    heading,
    plain,
    title,
    two_lines,
)
from bench.report.frames import by_size
from bench.report.method_names import in_order, label

MOST_COLUMNS = 4


def learning_curves(done: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """L_seg in training above validation Dice, a column a network.

    Lines: means over folds or seeds; bands: from the lowest to the highest; dots: the epoch kept of each.
    """
    networks = [name for name in by_size(done) if name in set(curves.architecture)]
    if not networks:
        return None
    methods = in_order(done.method)
    columns = min(MOST_COLUMNS, len(networks))
    blocks = -(-len(networks) // columns)
    width = ONE_COLUMN if columns <= 2 else TWO_COLUMNS
    figure, axes = plt.subplots(
        2 * blocks, columns, figsize=(width, 0.6 + 2.7 * blocks), sharex=True, sharey=False, squeeze=False
    )
    for kind in (0, 1):
        for other in axes[kind::2].flat[1:]:
            other.sharey(axes[kind][0])
    for place, network in enumerate(networks):
        row, column = 2 * (place // columns), place % columns
        above, below = axes[row][column], axes[row + 1][column]
        _lines(above, below, done, curves[curves.architecture == network], methods)
        above.set_title(two_lines(network), fontsize=7)
        below.set_xlabel("epoch")
        below.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
        if column:
            above.tick_params(labelleft=False)
            below.tick_params(labelleft=False)
        else:
            above.set_ylabel("L_seg (training)")
            below.set_ylabel("Dice (validation)")
    for place in range(len(networks), blocks * columns):
        for half in (0, 1):
            axes[2 * (place // columns) + half][place % columns].set_visible(False)
    handles = [
        plt.Line2D([], [], color=colours(methods)[m], ls=dashes(methods)[m], label=plain(label(m)))
        for m in methods
    ]
    band = f"; band: lowest to highest {repeat(done)}" if done.seed.nunique() > 1 else ""
    title(figure, f"{heading(done, part=False)}; dot: the epoch kept{band}")
    figure.legend(handles=handles, ncols=len(methods), loc="outside lower center")
    return figure


def _lines(
    above: plt.Axes, below: plt.Axes, done: pd.DataFrame, curves: pd.DataFrame, methods: list[str]
) -> None:
    colour = colours(methods)
    best = done.set_index("id").best_epoch
    for method in methods:
        own = curves[curves.method == method]
        if not len(own):
            continue
        style: dict[str, Any] = {"color": colour[method], "ls": dashes(methods)[method]}
        for axis, column in ((above, "seg"), (below, "dice_val")):
            by_seed = own.pivot_table(index="epoch", columns="seed", values=column)
            axis.plot(by_seed.index, by_seed.mean(axis=1), **style)
            if by_seed.shape[1] > 1:
                low, high = by_seed.min(axis=1), by_seed.max(axis=1)
                axis.fill_between(by_seed.index, low, high, color=colour[method], alpha=0.15, lw=0)
        kept = own[own.epoch == own.id.map(best)]
        below.plot(kept.epoch, kept.dice_val, "o", color=colour[method], ms=2.5)
    above.grid(axis="y")
    below.grid(axis="y")
