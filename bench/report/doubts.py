"""Cells that compare nothing, and why: too few patients or updates, or networks that have not learned.

And when it is too early to say anything about those that do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from bench.data.teacher_saw import UNKNOWN
from bench.protocol import FEW_UPDATES, MIN_FOLDS, USABLE_DICE
from bench.report.cells import SETTING, Cell, groups
from bench.report.frames import score_column
from bench.report.statistics import MIN_PATIENTS

FEW_PATIENTS = f"fewer than {MIN_PATIENTS} patients"
UNDER_TRAINED = f"fewer than {FEW_UPDATES} updates"
FALLS = "validation Dice falls while the loss falls"
UNUSABLE = "less than half of the best Dice"
FAR_BELOW = f"Dice below {USABLE_DICE}, of no use"


def doubts(done: pd.DataFrame) -> dict[Cell, list[str]]:
    """Of every cell of finished jobs, why it compares nothing; empty where nothing speaks against it."""
    score = "dice" if len(done) and done.dice.notna().all() else "dice_val"
    cells = list(groups(done, score, "scored_on", "updates", "val_falls"))
    means = {cell: group[score].mean() for cell, group in cells}
    found = {}
    for cell, group in cells:
        alike = [mean for other, mean in means.items() if _alike(cell, other) and not np.isnan(mean)]
        best = max(alike, default=np.nan)
        speaks = {
            FEW_PATIENTS: patients(group) < MIN_PATIENTS,
            UNDER_TRAINED: group.updates.between(1, FEW_UPDATES - 1).any(),
            FALLS: group.val_falls.fillna(False).astype(bool).any(),
            UNUSABLE: means[cell] < best / 2,
            FAR_BELOW: means[cell] < USABLE_DICE,
        }
        found[cell] = [reason for reason, holds in speaks.items() if holds]
    return found


def doubts_of_jobs(done: pd.DataFrame) -> dict[str, list[str]]:
    """Why the cell of each job compares nothing, by id."""
    found = doubts(done)
    return {job: found[cell] for cell, group in groups(done, "id") for job in group.id}


def too_early(done: pd.DataFrame) -> Callable[[int], str]:
    """By its folds, why nothing may be said of a comparison yet; empty where it may.

    A study that is read after three, four and five folds would make its false claims three times over, and
    validation scores are of patients that chose each network's epoch, the same ones in several folds.
    """
    unknown, planned = (done.teacher_saw == UNKNOWN).any(), done.folds.max()
    tested = score_column(done)[1] == "test"

    def why(folds: int) -> str:
        if unknown:
            return "nobody knows whom the teacher saw"
        if folds < MIN_FOLDS:
            return f"{folds or 'no'} fold{'' if folds == 1 else 's'}"
        if not tested:
            return "validation scores"
        return "" if pd.isna(planned) or folds >= planned else f"{folds} of {planned} folds"

    return why


def _alike(cell: Cell, other: Cell) -> bool:
    """Whether two cells learned from as much of the same."""
    return all(getattr(cell, name) == getattr(other, name) for name in SETTING)


def patients(group: pd.DataFrame) -> int:
    """On how many patients a cell was scored, those of all its folds, each once."""
    return len(frozenset().union(*group.scored_on.dropna()))
