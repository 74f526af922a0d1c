"""The share of the gap between plain student and teacher that a method closes.

1: the student does what its teacher does. A share of nothing means nothing, so where there is hardly a gap
there is no share.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.report.cells import (
    NETWORK,
    Cell,
    baseline,
    difference,
    fold_means,
    groups,
    is_plain,
    overall,
    patient_means,
    scores,
    teachers,
)
from bench.report.statistics import MIN_FOLDS, MIN_GAP, MIN_PATIENTS, interval, over_folds, ratio_interval

NO_GAP = "no gap"


def share(gain: pd.DataFrame, gap: pd.DataFrame, test_to_train: float) -> float | str | None:
    """Mean gain divided by mean gap, both patients × repeats, over the pairs that both have.

    ``NO_GAP`` where the gap is smaller than ``MIN_GAP`` or its interval reaches zero: that over folds where
    there are enough, else that over patients. None where there is nothing to compare.
    """
    both = gain.notna() & gap.notna().reindex_like(gain).fillna(False)
    gain, gap = (
        part.where(both).dropna(axis=1, how="all").dropna(how="all")
        for part in (gain, gap.reindex_like(gain))
    )
    if gap.empty:
        return None
    if overall(gap) < MIN_GAP:
        return NO_GAP
    folds = fold_means(gap)
    if len(folds) >= MIN_FOLDS:
        low = over_folds(folds, test_to_train).low
    elif len(gap) >= MIN_PATIENTS:
        low = interval(gap.mean(axis=1))[0]
    else:
        return None
    return overall(gain) / overall(gap) if low > 0 else NO_GAP


def gap_closed(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """The share that each method closes, with its 95 % interval over patients, for these networks.

    Only of students whose gap is there, as ``compared`` has it.
    """
    means = patient_means(cases)
    rows = []
    shares = {
        Cell(*row[: len(Cell._fields)]): row.gap_closed
        for row in compared[compared.against == "baseline"].itertuples(index=False)
    }
    for cell, group in groups(done):
        closed = shares.get(cell)
        if closed is None or isinstance(closed, str) or np.isnan(closed):
            continue
        reference = scores(means, baseline(done, cell))
        gain = difference(scores(means, group.id), reference).mean(axis=1)
        gap = difference(scores(means, teachers(done, cell, group)), reference).mean(axis=1)
        both = pd.concat([gain, gap], axis=1, keys=["gain", "gap"]).dropna()
        ends: dict[str, float] = {"low": np.nan, "high": np.nan}
        if len(both) >= MIN_PATIENTS:
            found = ratio_interval(both.gain.to_numpy(), both.gap.to_numpy())
            ends = dict(zip(ends, map(float, found), strict=True))
        rows.append({**cell._asdict(), "share": closed, **ends})
    return pd.DataFrame(rows, columns=[*Cell._fields, "share", "low", "high"])


def share_of_each_job(frame: pd.DataFrame, dice: pd.Series) -> pd.Series:
    """The share that each job closes, by its own fold and seed; NaN where that means nothing.

    Args:
        frame: the summary, a row a job.
        dice: the score of each of its rows.
    """
    keys = pd.Series(
        list(frame[[*NETWORK, "slices", "fold", "seed"]].astype(str).itertuples(index=False, name=None)),
        index=frame.index,
    )
    done = frame.status == "done"
    plain = dict(zip(keys[done & is_plain(frame)], dice[done & is_plain(frame)], strict=True))
    by_id = dict(zip(frame.id[done], dice[done], strict=True))
    students = done & (frame.method != "baseline")
    reference = keys.map(plain).where(students).astype(float)
    # A student of several teachers at once has none that its gap could be measured to.
    teacher = frame.teachers.fillna("").map(by_id).astype(float)
    gap = teacher - reference
    closed: pd.Series = ((dice - reference) / gap).where(gap >= MIN_GAP)
    return closed
