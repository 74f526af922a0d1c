"""Training loss and validation Dice by epoch."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.report.captions import repeat
from bench.report.figures.style import (
    ONE_COLUMN,
    TWO_COLUMNS,
    Look,
    heading,
    plain,
    title,
    two_lines,
)
from bench.report.frames import by_size
from bench.report.method_names import in_order, label

MOST_COLUMNS = 4
DOT = "dot: the epoch kept"
BEFORE = "of networks that were changed after training: before it"


def learning_curves(done: pd.DataFrame, curves: pd.DataFrame, look: Look) -> Figure | None:
    """L_seg in training above validation Dice, a column a network.

    Lines: means over folds or seeds; bands: from the lowest to the highest; dots: the epoch kept of each.
    """
    networks = [name for name in by_size(done) if name in set(curves.architecture)]
    if not networks:
        return None
    methods = in_order(curves.method)
    columns = min(MOST_COLUMNS, len(networks))
    blocks = -(-len(networks) // columns)
    width = ONE_COLUMN if columns <= 2 else TWO_COLUMNS
    figure, axes = plt.subplots(
        2 * blocks, columns, figsize=(width, 0.6 + 2.7 * blocks), sharex=True, sharey=False, squeeze=False
    )
    for kind in (0, 1):
        for other in axes[kind::2].flat[1:]:
            other.sharey(axes[kind][0])
    drawn: set[str] = set()
    for place, network in enumerate(networks):
        row, column = 2 * (place // columns), place % columns
        above, below = axes[row][column], axes[row + 1][column]
        drawn |= _lines(above, below, done, curves[curves.architecture == network], look)
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
        plt.Line2D([], [], color=look.colour[m], ls=look.dash[m], label=plain(label(m))) for m in methods
    ]
    words = [text for text in (DOT, f"band: lowest to highest {repeat(done)}", BEFORE) if text in drawn]
    title(figure, "; ".join([heading(done, part=False), *words]))
    figure.legend(handles=handles, ncols=min(len(methods), MOST_COLUMNS), loc="outside lower center")
    return figure


def _lines(
    above: plt.Axes, below: plt.Axes, done: pd.DataFrame, curves: pd.DataFrame, look: Look
) -> set[str]:
    """Draw a network's curves; gives the words for what was drawn beside the lines."""
    words: set[str] = set()
    best = done.set_index("id").best_epoch
    changed = set(done.id[done.changed_after_training.fillna(False).astype(bool)])
    for method in in_order(curves.method):
        own = curves[curves.method == method]
        colour = look.colour[method]
        for axis, column in ((above, "seg"), (below, "dice_val")):
            by_seed = own.pivot_table(index="epoch", columns="seed", values=column)
            axis.plot(by_seed.index, by_seed.mean(axis=1), color=colour, ls=look.dash[method])
            if by_seed.shape[1] > 1:
                low, high = by_seed.min(axis=1), by_seed.max(axis=1)
                axis.fill_between(by_seed.index, low, high, color=colour, alpha=0.15, lw=0)
                words.add(f"band: lowest to highest {repeat(done)}")
        kept = own[own.epoch == own.id.map(best)].dropna(subset=["dice_val"])
        below.plot(kept.epoch, kept.dice_val, "o", color=colour, ms=2.5)
        words |= {DOT} if len(kept) else set()
        words |= {BEFORE} if changed & set(own.id) else set()
    above.grid(axis="y")
    below.grid(axis="y")
    return words
