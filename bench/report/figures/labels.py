"""Dice against the number of labelled patients, one line for each way of using the teacher."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from bench.report.figures.style import DASHES, OTHER_MARKERS, TWO_COLUMNS, heading, plain, title
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order, label
from bench.report.standard import usual_teacher

WAY = ["method", "changed", "teacher_labels", "unlabelled"]
"""What tells two lines apart."""
LEARNED = {"same": "", "disjoint": ", teacher of others", "all": ", teacher saw all labels"}
IMAGES = {"none": "", "maps": ", on all images"}


def dice_by_labels(done: pd.DataFrame) -> Figure | None:
    """Mean Dice over seeds and folds, and the band from the lowest to the highest, a panel a student.

    Of the usual teacher, the largest. None where there are not two lines. What is known at one number of
    labels only is no line: it stands in the tables.
    """
    own = done[(done.drawn == "") & done.architecture.isin(_students(done))]
    own = own[(own.method != "baseline") | (own.teacher_labels == "same")]
    own = own[own.teacher.isin(["", usual_teacher(done, done)])]
    own = own[own.groupby(["architecture", *WAY]).labels.transform("nunique") > 1]
    if own.groupby(WAY).ngroups < 2:
        return None
    counts = sorted(set(own.labels), key=_number)
    column, part = score_column(done)
    networks = [name for name in by_size(own) if name in set(own.architecture)]
    ways = _ways(own)
    figure, axes = plt.subplots(
        *(1, len(networks)), figsize=(TWO_COLUMNS, 2.6 + 0.1 * len(ways)), sharey=True, squeeze=False
    )
    looks, texts = _looks(ways), _texts(ways)
    for axis, network in zip(axes[0], networks, strict=True):
        shown = own[own.architecture == network]
        for way in ways:
            line = shown[(shown[WAY] == list(way)).all(axis=1)].groupby("labels")[column]
            if not len(line):
                continue
            points = line.agg(["mean", "min", "max"]).reindex(counts).dropna()
            x = [counts.index(count) for count in points.index]
            colour, dash, marker = looks[way]
            axis.plot(
                x, points["mean"], color=colour, ls=dash, marker=marker, ms=4, label=plain(texts[way])
            )
            axis.fill_between(x, points["min"], points["max"], color=colour, alpha=0.12, lw=0)
        axis.set_xticks(range(len(counts)), counts)
        axis.set_xlabel(f"{plain(network)}: patients with labels")
        axis.grid(axis="y")
    axes[0][0].set_ylabel(f"Dice ({part})")
    epochs = "; all: best epoch, else the last" if counts[-1] == "all" and len(counts) > 1 else ""
    title(figure, f"{heading(own)}: mean, and from the lowest to the highest{epochs}")
    handles = {
        text: h for axis in axes[0] for h, text in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), ncols=2, loc="outside lower center")
    return figure


def _texts(ways: list[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Each way of using the teacher in words; parameters where a method is there with several."""
    of_method: dict[str, set[str]] = {}
    for method, changed, *_ in ways:
        of_method.setdefault(method, set()).add(changed)
    return {
        way: label(way[0])
        + (way[1] if len(of_method[way[0]]) > 1 else "")
        + LEARNED[way[2]]
        + IMAGES[way[3]]
        for way in ways
    }


def _students(done: pd.DataFrame) -> set[str]:
    """Networks that another one teaches, and that teach none but themselves."""
    network = dict(zip(done.id, done.architecture, strict=True))
    pairs = {
        (network.get(teacher), row.architecture)
        for row in done.itertuples()
        for teacher in (row.teachers or "").split()
    }
    teaching = {teacher for teacher, student in pairs if teacher != student}
    return set(done.architecture[done.teacher != ""]) - teaching


def _number(count: str) -> float:
    return float("inf") if count == "all" else float(count)


def _ways(own: pd.DataFrame) -> list[tuple[str, ...]]:
    """The lines, plain training first, then by method."""
    methods = in_order(own.method)
    found = set(own[WAY].itertuples(index=False, name=None))
    return sorted(found, key=lambda way: (methods.index(way[0]), *way[1:]))


def _looks(ways: list[tuple[str, ...]]) -> dict[tuple[str, ...], tuple]:
    """Colour, dashes and marker of each line."""
    palette = sns.color_palette("colorblind", 10)
    return {
        way: (palette[k % 10], DASHES[k % len(DASHES)], OTHER_MARKERS[k % len(OTHER_MARKERS)])
        for k, way in enumerate(ways)
    }
