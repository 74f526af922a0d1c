"""What is compared with what: cells of the matrix, their plain students and their teachers.

A cell is everything that tells two jobs apart but fold and seed, which are its repeats. Scores of a cell
are a frame of cases × repeats; a repeat is a pair of fold and seed, the fold ``NO_FOLD`` where a study
has one split. Two cells are compared case by case, before the mean of a patient is taken: a case that only
one of them has a Dice for would move that one's mean alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

NO_FOLD = -1


class Cell(NamedTuple):
    """What is compared: everything that tells two jobs apart but the repeat."""

    dataset: str
    image_size: int
    seg_loss: str
    architecture: str
    method: str
    variant: str
    method_parameters: str
    teacher: str
    labels: str
    teacher_labels: str
    unlabelled: str
    updates_asked: str
    slices: str
    drawn: str
    given: str
    plugin: str

    @property
    def network(self) -> str:
        """The network's name, and which of several it is: given from elsewhere, of which plug-in."""
        which = ", ".join(filter(None, (self.given, self.plugin)))
        return f"{self.architecture} ({which})" if which else self.architecture


OF_METHOD = ("method", "variant", "method_parameters", "teacher")
RECIPE = [*(name for name in Cell._fields if name not in OF_METHOD), "taught_by", "recipe"]
"""Columns that repeats of a network agree in, whether it was trained or made from a trained one.

A recipe names its methods with their parameters.
"""
OWN = ("teacher", "variant", "method_parameters")
"""Fields that are empty where a method has none."""
NETWORK = ("dataset", "image_size", "seg_loss", "architecture", "labels", "updates_asked", "slices")
"""What a cell shares with its plain student."""
SETTING = ("dataset", "image_size", "labels", "updates_asked", "slices")
"""What a plain student shares with the students whose teacher it is compared with."""
REFERRING = [*Cell._fields, "id", "changed", "teachers", "parameters"]
"""Columns by which ``references`` are found: of these alone it takes less time."""


def cells_of(frame: pd.DataFrame) -> list[Cell]:
    """The cell of each row."""
    filled = frame[list(Cell._fields)].fillna(dict.fromkeys(OWN, ""))
    return [Cell(*row) for row in filled.to_numpy(dtype=object)]


def groups(done: pd.DataFrame, *columns: str) -> Iterator[tuple[Cell, pd.DataFrame]]:
    """Every cell with its jobs: all of their columns, or those that are named, which takes less time."""
    places: dict[Cell, list[int]] = {}
    for place, cell in enumerate(cells_of(done)):
        places.setdefault(cell, []).append(place)
    shown = done[list(columns)] if columns else done.fillna(dict.fromkeys(OWN, ""))
    for cell, own in places.items():
        yield cell, shown.iloc[own]


def network(cell: Cell) -> tuple:
    """What the cell shares with its plain student."""
    return tuple(getattr(cell, name) for name in NETWORK)


def is_plain(frame: pd.DataFrame) -> pd.Series:
    """Which jobs are students trained plainly.

    A teacher that learned from other patients than its students says so in ``teacher_labels``, or in
    ``drawn``, and is none; nor is what was trained at another learning rate, or elsewhere (``given``).
    """
    usual = (frame.teacher_labels == "same") & (frame.unlabelled == "none") & (frame.given == "")
    return (frame.method == "baseline") & usual & (frame.drawn == "") & (frame.changed == "")


def baseline(done: pd.DataFrame, cell: Cell) -> list[str]:
    """Jobs of the same network trained plainly, on as many labels; none for a baseline itself.

    Where a plug-in's network was trained by several versions, those of the cell's.
    """
    if cell.method == "baseline":
        return []
    same = (done[list(NETWORK)] == list(network(cell))).all(axis=1)
    plain = done[same & is_plain(done)]
    own = plain[plain.plugin == cell.plugin]
    return list((own if len(own) else plain).id)


def teachers(done: pd.DataFrame, cell: Cell, group: pd.DataFrame) -> list[str]:
    """The cell's own teachers; a plain student's are those of the distilled ones, the largest of them.

    Of distilled students of other labels or updates a plain one takes none, and of several kinds of teacher
    that which learned from the same patients. None for a teacher of other networks, and where a student has
    several at once.
    """
    named = group.teachers.fillna("").str.split()
    if (named.str.len() > 1).any():
        return []
    own = {name for names in named for name in names}
    if own:
        return list(own)
    others = done[done.architecture != cell.architecture]
    if not teacher_ids(others).isdisjoint(group.id):
        return []
    near = done[(done[list(SETTING)] == [getattr(cell, name) for name in SETTING]).all(axis=1)]
    taught = near[near.teachers.fillna("") != ""]
    usual = taught[taught.teacher_labels == "same"]
    everyone = teacher_ids(usual if len(usual) else taught)
    teaching = done[done.id.isin(everyone) & (done.method == "baseline") & (done.drawn == "")]
    found = of_largest(teaching)
    return list(found.id[found.architecture != cell.architecture])


def references(done: pd.DataFrame, cell: Cell, group: pd.DataFrame) -> dict[str, list[str]]:
    """The jobs that a cell is compared with, by what they are to it; ``done`` needs ``REFERRING`` alone."""
    return {"baseline": baseline(done, cell), "teacher": teachers(done, cell, group)}


def teacher_ids(jobs: pd.DataFrame) -> set[str]:
    """Ids of the jobs whose networks teach ``jobs``."""
    return {name for names in jobs.teachers.fillna("") for name in names.split()}


def largest_teachers(done: pd.DataFrame) -> list[str]:
    """Ids of the jobs of the largest network that taught."""
    return list(of_largest(done[done.id.isin(teacher_ids(done))]).id)


def of_largest(jobs: pd.DataFrame) -> pd.DataFrame:
    """The jobs of the largest network among ``jobs``."""
    ordered = jobs.sort_values("parameters", kind="stable", na_position="first")
    return jobs[jobs.architecture.isin(ordered.architecture.tail(1))]


def repeat_of(jobs: pd.DataFrame) -> pd.MultiIndex:
    """The fold and seed of each job."""
    return pd.MultiIndex.from_arrays([jobs.fold.fillna(NO_FOLD), jobs.seed])


def by_job(cases: pd.DataFrame) -> pd.DataFrame:
    """Dice of all jobs, cases × (fold, seed, id), of a frame with a row per job and case."""
    known = cases.assign(fold=cases.fold.fillna(NO_FOLD).astype(int))
    table = known.pivot_table(index=["patient", "case"], columns=["fold", "seed", "id"], values="dice")
    return table.astype(np.float64)


def scores(known: pd.DataFrame, ids: Collection[str]) -> pd.DataFrame:
    """Dice of the jobs ``ids``, cases × repeats; repeats that weren't scored at all are left out.

    Args:
        known: of ``by_job``.
    """
    own = known.loc[:, known.columns.get_level_values("id").isin(ids)].dropna(how="all")
    repeats = own.columns.droplevel("id")
    if repeats.has_duplicates:
        return own.T.groupby(level=["fold", "seed"]).mean().T
    return own.set_axis(repeats, axis=1)


def of_patients(scored: pd.DataFrame) -> pd.DataFrame:
    """Patients × repeats: the mean over the cases of each patient that have a value."""
    means: pd.DataFrame = scored.groupby(level="patient").mean()
    return means


def difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Patients × repeats that both have, from the cases that both have."""
    return of_patients(ours - theirs).dropna(axis=1, how="all").dropna(axis=0, how="all")


def scores_by_cell(done: pd.DataFrame, cases: pd.DataFrame) -> dict[Cell, pd.DataFrame]:
    """Dice of every cell, patients × repeats."""
    known = by_job(cases)
    return {cell: of_patients(scores(known, group.id)) for cell, group in groups(done, "id")}


def has_folds(paired: pd.DataFrame) -> bool:
    """Whether the repeats are folds."""
    folds = paired.columns.get_level_values("fold")
    return bool(len(folds)) and bool((folds != NO_FOLD).all())


def fold_means(paired: pd.DataFrame) -> pd.Series:
    """The mean of each fold over patients, seeds averaged before; empty where there are no folds."""
    if not has_folds(paired):
        return pd.Series(dtype=np.float64)
    by_patient = paired.T.groupby(level="fold").mean().T
    means: pd.Series = by_patient.mean(axis=0)
    return means


def repeat_means(paired: pd.DataFrame) -> pd.Series:
    """The mean of each fold, or without folds of each seed."""
    means: pd.Series = fold_means(paired) if has_folds(paired) else paired.mean(axis=0)
    return means


def overall(paired: pd.DataFrame) -> float:
    """The mean over folds; without folds over patients, seeds averaged before."""
    values = fold_means(paired) if has_folds(paired) else paired.mean(axis=1)
    return float(values.mean()) if len(values) else float("nan")
