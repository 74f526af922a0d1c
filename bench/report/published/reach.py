"""Reach against width: networks of like size, one with more levels, side by side."""

from __future__ import annotations

from itertools import permutations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bench.report.captions import cautions, origin
from bench.report.figures.style import ONE_COLUMN, TWO_COLUMNS, Look, heading, plain, title
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order, label
from bench.report.standard import standard
from bench.report.tables.markup import Table

LIKE_SIZE = 1.25
"""Parameters up to this factor apart count as equal."""


def pairs(own: pd.DataFrame) -> list[tuple[str, str]]:
    """(fewer levels, more levels) of one family with about as many parameters, largest first."""
    networks = own.drop_duplicates("architecture").set_index("architecture")
    size, stride = networks.parameters, networks.stride
    return [
        (shallow, deep)
        for shallow, deep in permutations(by_size(own), 2)
        if shallow.partition("-")[0] == deep.partition("-")[0]
        and stride[shallow] < stride[deep]
        and max(size[shallow], size[deep]) <= LIKE_SIZE * min(size[shallow], size[deep])
    ]


def reach_table(done: pd.DataFrame) -> Table:
    """Networks of about as many parameters, one with more levels than the other."""
    own = standard(done[done.seg_loss == "dice-bce"])
    caption = (
        f"Reach against width, pairs of about as many parameters: {origin(own)}, Dice by method. Sees: the "
        f"side of the receptive field of an output pixel, computed.{cautions(own)}"
    )
    return Table("reach", caption, reach_rows(own))


def reach_rows(own: pd.DataFrame) -> pd.DataFrame:
    """Each pair of finished jobs of the default recipe: what it sees, what it costs, its Dice by method.

    Empty without a pair.
    """
    score, _ = score_column(own)
    dice = own.groupby(["architecture", "method"])[score].mean()
    rows = []
    for name in (name for pair in pairs(own) for name in pair):
        first = own[own.architecture == name].iloc[0]
        scores = {label(m): dice.get((name, m)) for m in in_order(own.method)}
        rows.append(
            {
                "network": name,
                "parameters": f"{first.parameters:,.0f}",
                "levels": int(first.stride).bit_length(),
                "sees, pixels": _sees(first),
                "GMACs": first.macs / 1e9,
                "CPU ms, p50": first.latency_cpu_ms_p50,
                **scores,
            }
        )
    return pd.DataFrame(rows)


def reach_figure(own: pd.DataFrame, look: Look) -> Figure | None:
    """Dice by method, a panel a pair, the teacher as a line; None without a pair."""
    score, part = score_column(own)
    found = pairs(own)
    if not found:
        return None
    dice = own.groupby(["architecture", "method"])[score].mean()
    methods, dashed = in_order(own.method), ""
    width = ONE_COLUMN if len(found) == 1 else TWO_COLUMNS
    figure, axes = plt.subplots(1, len(found), figsize=(width, 2.7), sharey=True, squeeze=False)
    networks = own.drop_duplicates("architecture").set_index("architecture")
    for axis, pair in zip(axes[0], found, strict=True):
        for name in pair:
            seen = _sees(networks.loc[name])
            text = plain(name) + ("" if seen is None else f": sees {seen} px")
            axis.plot([], [], ls="", marker=look.marker[name], color="0.4", ms=5, label=text)
            for x, method in enumerate(methods):
                style = {
                    "color": look.colour[method],
                    "marker": look.marker[name],
                    "mfc": "none",
                    "ms": 5.5,
                }
                axis.plot(x, dice.get((name, method), float("nan")), **style)
        for name in sorted(set(own.teacher.fillna("")) - {""}):
            if (name, "baseline") in dice:
                axis.axhline(dice[name, "baseline"], lw=0.8, ls="--", color="0.6", zorder=0)
                dashed = "; dashed: teacher"
        axis.set_xticks(range(len(methods)), [plain(label(m)) for m in methods])
        axis.margins(x=0.15)
        axis.grid()
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes[0][0].set_ylabel(f"Dice ({part})")
    title(figure, f"{heading(own)}: about as many parameters, more levels{dashed}")
    return figure


def _sees(network: pd.Series) -> int | None:
    """The side of the receptive field; None where it is not known or the whole image."""
    return None if pd.isna(network.receptive_field) else int(network.receptive_field)
