"""The share of the gap between plain student and teacher that a method closes.

1: the student does what its teacher does. A share of nothing means nothing, so where there is hardly a gap
there is no share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.protocol import MIN_FOLDS
from bench.report.cells import (
    NETWORK,
    REFERRING,
    Cell,
    by_job,
    difference,
    fold_means,
    groups,
    is_plain,
    overall,
    references,
    scores,
)
from bench.report.statistics import MIN_GAP, MIN_PATIENTS, over_folds, over_patients, ratio_interval

NO_GAP = "no gap"


def share(
    ours: pd.DataFrame, plain: pd.DataFrame, teacher: pd.DataFrame, test_to_train: float
) -> float | str | None:
    """Mean gain divided by mean gap, from the cases that all three have; each is cases × repeats.

    ``NO_GAP`` where the gap is smaller than ``MIN_GAP`` or its interval reaches zero: that over folds where
    there are enough, else that over patients. None where there is nothing to compare.
    """
    gain, gap = gain_and_gap(ours, plain, teacher)
    if gap.empty:
        return None
    folds = fold_means(gap)
    if len(folds) >= MIN_FOLDS:
        return _share(overall(gain), overall(gap), lambda: float(over_folds(folds, test_to_train).low))
    return _share(overall(gain), overall(gap), lambda: over_patients(gap.mean(axis=1))[0])


def share_of_one(gain: NDArray[np.float64], gap: NDArray[np.float64]) -> float | str | None:
    """The same of one repeat, from the means of its patients."""
    return _share(gain.mean(), gap.mean(), lambda: over_patients(gap)[0]) if len(gap) else None


def _share(gain: float, gap: float, low: Callable[[], float]) -> float | str | None:
    """``low``: computes the lower end of the interval of the gap."""
    if gap < MIN_GAP:
        return NO_GAP
    end = low()
    if np.isnan(end):
        return None
    return gain / gap if end > 0 else NO_GAP


def gain_and_gap(
    ours: pd.DataFrame, plain: pd.DataFrame, teacher: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a method gains and what its teacher is better, patients × repeats, of what all three have."""
    plain, teacher = plain.reindex_like(ours), teacher.reindex_like(ours)
    everywhere = ours.notna() & plain.notna() & teacher.notna()
    plain = plain.where(everywhere)
    return difference(ours, plain), difference(teacher, plain)


def gap_closed(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """The share that each method closes, with its 95 % interval over patients, for these networks.

    ``NO_GAP`` without an interval where there is none, as ``compared`` has it.
    """
    known, jobs = by_job(cases), done[REFERRING]
    rows = []
    shares = {
        Cell(*row[: len(Cell._fields)]): row.gap_closed
        for row in compared[compared.against == "baseline"].itertuples(index=False)
    }
    for cell, group in groups(done, "id", "teachers"):
        closed = shares.get(cell)
        ends: dict[str, float] = {"low": np.nan, "high": np.nan}
        if closed is None or pd.isna(closed):
            continue
        if closed == NO_GAP:
            rows.append({**cell._asdict(), "share": closed, **ends})
            continue
        kinds = (group.id, *references(jobs, cell, group).values())
        gain, gap = (part.mean(axis=1) for part in gain_and_gap(*(scores(known, ids) for ids in kinds)))
        if len(gap) >= MIN_PATIENTS:
            found = ratio_interval(gain.to_numpy(), gap.to_numpy())
            ends = dict(zip(ends, map(float, found), strict=True))
        rows.append({**cell._asdict(), "share": closed, **ends})
    return pd.DataFrame(rows, columns=[*Cell._fields, "share", "low", "high"])


def share_of_each_job(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.Series:
    """The share that each job closes, by its own fold and seed; NaN where that means nothing.

    What was made of a network has none: the plain student that it would be held against has not been pruned
    or trained on.

    Args:
        frame: the summary, a row a job.
        cases: a row per job and case, of the part that is shown.
    """
    keys = list(frame[[*NETWORK, "fold", "seed"]].astype(str).itertuples(index=False, name=None))
    done = frame.status == "done"
    plain = {
        key: name for key, name, use in zip(keys, frame.id, done & is_plain(frame), strict=True) if use
    }
    dice = cases.pivot_table(index=["patient", "case"], columns="id", values="dice")
    closed = pd.Series(np.nan, index=frame.index)
    for place, key, own, teacher, source in zip(
        *(frame.index, keys, frame.id, frame.teachers.fillna(""), frame.source.fillna("")), strict=True
    ):
        reference = plain.get(key)
        # A student of several teachers at once has none that its gap could be measured to.
        # One of its plain twin has no gap.
        if source or reference in (own, teacher) or not {own, reference, teacher} <= set(dice.columns):
            continue
        three = dice[[own, reference, teacher]].dropna().groupby(level="patient").mean().mean()
        gap = three[teacher] - three[reference]
        if gap >= MIN_GAP:
            closed[place] = (three[own] - three[reference]) / gap
    return closed


def drop_to_source(frame: pd.DataFrame, cases: pd.DataFrame) -> pd.Series:
    """What each job that was made from another's network has lost of its Dice, on cases of both."""
    dice = cases.pivot_table(index=["patient", "case"], columns="id", values="dice")
    drop = pd.Series(np.nan, index=frame.index)
    for place, own, source in zip(frame.index, frame.id, frame.source.fillna(""), strict=True):
        if {own, source} <= set(dice.columns):
            pair = dice[[source, own]].dropna().groupby(level="patient").mean().mean()
            drop[place] = pair[source] - pair[own]
    return drop
