"""The report's picture: image, ground truth, teacher, plain student, distilled student.

Cases are chosen by rule: patients are ranked by the mean Dice of the shown networks; of the best,
the median and the worst patient the case nearest to the patient's own mean is shown.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.data.dataset import Dataset
from bench.report.cells import teacher_ids
from bench.report.figures.style import STYLE, TWO_COLUMNS, heading, plain, save, title
from bench.report.frames import by_size
from bench.report.method_names import in_order, label
from bench.report.standard import standard
from bench.study.predictions import Labels, largest_slice, read_predictions
from bench.study.store import Study

CORRECT, MISSED, INVENTED = (0.35, 0.7, 0.9), (0.84, 0.37, 0.0), (0.94, 0.89, 0.26)
MISTAKEN = (0.8, 0.47, 0.65)
"""The object, but another of its classes."""
SHOWN_PERCENTILES = (0.5, 99.0)
"""Of an image's values, which are shown as black and as white."""


def write_panel(
    folder: Path, study: Study, dataset: Dataset, shown: pd.DataFrame, cases: pd.DataFrame
) -> list[Path]:
    """Write ``cases.png`` and ``cases.pdf`` of the jobs ``shown``; nothing of fewer than two."""
    if len(shown) < 2:
        return []
    with plt.rc_context(STYLE):
        return save(panel(study, dataset, shown, cases), folder / "cases")


def chosen_jobs(frame: pd.DataFrame, study: Study, distilled: str) -> pd.DataFrame:
    """Teacher, then the smallest student's plain and ``distilled`` jobs, of the lowest fold or seed.

    Where nothing was trained by ``distilled``, the last of the methods that were stands in for it. Where
    their predictions are not here any more there is nothing to show, and none of another fold instead: a
    picture that was drawn from them before is to stay.
    """
    done = standard(frame[(frame.status == "done") & (frame.seg_loss == "dice-bce")])
    if not len(done):
        return done
    done = done[done.fold.isna() | (done.fold == done.fold.min())]
    done = done[done.seed == done.seed.min()].drop_duplicates(["architecture", "method"])
    others = in_order(done.method[done.teachers.fillna("") != ""])
    if others and distilled not in others:
        distilled = others[-1]
    taught = done[done.method == distilled]
    students = by_size(taught) if len(taught) else by_size(done)
    smallest = done[done.architecture == students[-1]] if students else done.iloc[:0]
    picked = [done[done.id.isin(teacher_ids(taught))].head(1)]
    picked += [smallest[smallest.method == m] for m in ("baseline", distilled)]
    shown = pd.concat(picked)
    kept = all(read_predictions(study, job_id) is not None for job_id in shown.id)
    return shown if kept else shown.iloc[:0]


def pick_cases(cases: pd.DataFrame) -> list[tuple[str, str]]:
    """(what it stands for, case) for the best, the median and the worst patient."""
    dice = cases.groupby(["patient", "case"]).dice.mean().dropna()
    patients = dice.groupby("patient").mean().sort_values(ascending=False, kind="stable")
    places = {"best": 0, "median": (len(patients) - 1) // 2, "worst": len(patients) - 1}
    picked = []
    for name, place in places.items():
        patient = patients.index[place]
        own = dice[patient]
        picked.append((f"{name} patient", str((own - patients.iloc[place]).abs().idxmin())))
    return picked


def panel(study: Study, dataset: Dataset, shown: pd.DataFrame, cases: pd.DataFrame) -> Figure:
    """One row a case, one column each for image, ground truth and the shown networks."""
    predictions = {job_id: read_predictions(study, job_id) or {} for job_id in shown.id}
    own = cases[cases.id.isin(shown.id)]
    rows = pick_cases(own)
    dice = own.set_index(["id", "case"]).dice
    where = {case: k for k, case in enumerate(dataset.cases)}
    columns = 2 + len(shown)
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(TWO_COLUMNS, TWO_COLUMNS / columns * len(rows) + 1.0), squeeze=False
    )
    for line, (what, case) in zip(axes, rows, strict=True):
        image, truth = grey(dataset, where[case]), dataset.masks[where[case]]
        part = shown_part(truth)
        image, truth = image[part], truth[part]
        line[0].imshow(image, cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(f"{what}\n{plain(case)}", fontsize=7)
        line[1].imshow(coloured(image, truth, truth))
        for axis, job_id in zip(line[2:], shown.id, strict=True):
            axis.imshow(coloured(image, predictions[job_id][case][part], truth))
            axis.set_xlabel(f"Dice {dice[job_id, case]:.3f}", fontsize=7, labelpad=2)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
    titles = ["image", "ground truth"]
    titles += [
        f"{plain(a)}\n{plain(label(m))}" for a, m in zip(shown.architecture, shown.method, strict=True)
    ]
    for axis, name in zip(axes[0], titles, strict=True):
        axis.set_title(name, fontsize=7)
    handles = [
        plt.Line2D([], [], ls="", marker="s", color=colour, label=name)
        for name, colour in (
            *(("found", CORRECT), ("missed", MISSED), ("invented", INVENTED)),
            *((("another class", MISTAKEN),) if len(dataset.classes) > 1 else ()),
        )
    ]
    figure.legend(handles=handles, ncols=4, loc="outside lower center")
    folds = shown.fold.dropna().unique()
    of = f" of the {own.patient.nunique()} of fold {folds[0]}" if len(folds) else ""
    ranked = "by the mean Dice of these networks" if len(shown) > 1 else "by mean Dice"
    title(figure, f"{heading(shown)}: best, median and worst patient{of} {ranked}; Dice: of the case shown")
    return figure


def grey(dataset: Dataset, index: int) -> np.ndarray:
    """A case's first channel, or the mean of three colours, windowed as the dataset says, in [0, 1].

    Without a window it is that of ``SHOWN_PERCENTILES``: by its brightest spot an MR image would be black.
    """
    channels = dataset.images[index].astype(float)
    colour = dataset.spatial_dims == 2 and len(channels) == 3
    image = channels.mean(axis=0) if colour else channels[0]
    low, high = dataset.window or np.percentile(image, SHOWN_PERCENTILES)
    if high <= low:  # hardly anything on one ground
        low, high = image.min(), image.max()
    return np.clip((image - low) / max(high - low, 1e-9), 0, 1)


def shown_part(truth: Labels) -> tuple:
    """Which part of a case is shown: all of an image, of a volume the axial slice with the most object."""
    return (...,) if truth.ndim == 2 else (..., largest_slice(truth))


def coloured(image: np.ndarray, predicted: Labels, truth: Labels) -> np.ndarray:
    """The image with found, missed, invented and mistaken pixels tinted."""
    rgb = np.repeat(image[..., None], 3, axis=2)
    p, t, same = predicted > 0, truth > 0, predicted == truth
    tints = ((p & same, CORRECT), (~p & t, MISSED), (p & ~t, INVENTED), (p & t & ~same, MISTAKEN))
    for where, colour in tints:
        rgb[where] = 0.4 * rgb[where] + 0.6 * np.array(colour)
    return rgb
