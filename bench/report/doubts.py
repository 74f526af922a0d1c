"""Cells that compare nothing, and why: too few patients or updates, or networks that have not learned."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.protocol import FEW_UPDATES, USABLE_DICE
from bench.report.cells import SETTING, Cell, groups
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


def _alike(cell: Cell, other: Cell) -> bool:
    """Whether two cells learned from as much of the same."""
    return all(getattr(cell, name) == getattr(other, name) for name in SETTING)


def patients(group: pd.DataFrame) -> int:
    """On how many patients a cell was scored, those of all its folds, each once."""
    return len(frozenset().union(*group.scored_on.dropna()))
