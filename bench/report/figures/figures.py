"""Every figure that the records can fill: PNG at 300 dpi and PDF, one or two columns of a journal wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from bench.report.cells import teacher_ids
from bench.report.comparisons import of_cells
from bench.report.figures.cost import dice_against_cost
from bench.report.figures.curves import learning_curves
from bench.report.figures.gains import gain_by_size, share_of_gap, significance_map
from bench.report.figures.labels import dice_by_labels
from bench.report.figures.made import dice_against_cost_of_made
from bench.report.figures.scores import dice_by_method, dice_by_organ_size
from bench.report.figures.style import STYLE, Look, files_of, save
from bench.report.gaps import gap_closed
from bench.report.standard import sets

OWN = ["seg_loss", "slices", "updates_asked", "image_size"]
"""What the jobs of one set have in common."""


def write_figures(
    folder: Path,
    frame: pd.DataFrame,
    cases: pd.DataFrame,
    curves: pd.DataFrame,
    compared: pd.DataFrame,
    more: Callable[[pd.DataFrame, Look], Mapping[str, Callable[[], Figure | None]]] = lambda own, look: {},
) -> list[Path]:
    """Write every figure that the frames can fill, a set for each of ``sets``; returns the files.

    Args:
        folder: where to write.
        frame: the summary, a row a job.
        cases: a row per job and case, of the part that is shown.
        curves: a row per job and epoch.
        compared: ``comparisons`` of the finished jobs.
        more: further figures of the jobs of one such set.
    """
    done = frame[frame.status == "done"]
    if not len(done):
        return []
    written, look = [], Look.of(frame)
    with plt.rc_context(STYLE):
        for suffix, own in sets(done).items():
            for name, make in {
                **_figures(own, done, cases, curves, compared, look),
                **more(own, look),
            }.items():
                figure, stem = make(), folder / f"{name}{suffix}"
                if figure is not None:
                    written += save(figure, stem)
                else:  # of an earlier report
                    for path in files_of(stem):
                        path.unlink(missing_ok=True)
    return written


def write_figures_of_made(folder: Path, made: pd.DataFrame) -> list[Path]:
    """What was made from trained networks beside them, a figure for each of ``sets``.

    Args:
        folder: where to write.
        made: the finished jobs of the summary, converted and reshaped ones too.
    """
    written = []
    with plt.rc_context(STYLE):
        for suffix, own in sets(made[made.source == ""]).items():
            usual = own[["seg_loss", "slices", "image_size", "labels", "updates_asked"]].iloc[0]
            beside = made[(made[list(usual.index)] == usual).all(axis=1)]
            figure = dice_against_cost_of_made(beside, Look.of(made))
            if figure is not None:
                written += save(figure, folder / f"compression{suffix}")
    return written


def _figures(
    own: pd.DataFrame,
    done: pd.DataFrame,
    cases: pd.DataFrame,
    curves: pd.DataFrame,
    compared: pd.DataFrame,
    look: Look,
) -> dict[str, Callable[[], Figure | None]]:
    """The figures of the cells ``own``, by the names of their files."""
    scored = cases[cases.id.isin(own.id)]
    compared = of_cells(own, compared)
    with_teachers = done[done.id.isin({*own.id, *teacher_ids(own)})]
    return {
        "dice_by_method": lambda: dice_by_method(own, scored, look),
        "dice_by_organ_size": lambda: dice_by_organ_size(own, scored, look),
        "dice_against_cost": lambda: dice_against_cost(own, look),
        "dice_by_labels": lambda: dice_by_labels(done[(done[OWN] == own[OWN].iloc[0]).all(axis=1)]),
        "gain_by_size": lambda: gain_by_size(own, compared, look),
        "gap_closed": lambda: share_of_gap(own, gap_closed(with_teachers, cases, compared), look),
        "significance": lambda: significance_map(own, compared),
        "learning_curves": lambda: learning_curves(own, curves[curves.id.isin(own.id)], look),
    }
