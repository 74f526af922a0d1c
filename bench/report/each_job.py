"""Every job beside the plain student and the teacher of its own fold and seed, for these networks alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.cells import (
    REFERRING,
    Cell,
    by_job,
    difference,
    groups,
    has_folds,
    references,
    scores,
)
from bench.report.doubts import doubts_of_jobs, too_early
from bench.report.gaps import gain_and_gap, share_of_one
from bench.report.statistics import over_patients

COLUMNS = (
    *Cell._fields,
    *("seed", "against", "difference", "low", "high", "low_method", "high_method", "gap_closed", "verdict"),
)
"""As ``comparisons`` names them; the interval of the method is empty."""


def of_each_job(done: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """One row a job and what it is compared with, as ``comparisons`` would have it of its seed alone.

    Two networks say nothing about a method: there is no interval for it, and nothing is claimed.
    """
    known, jobs, early = by_job(cases), done[REFERRING], too_early(done)
    seeds = dict(zip(done.id, done.seed, strict=True))
    doubted = {job: why for _, own in done.groupby("seed") for job, why in doubts_of_jobs(own).items()}
    rows = []
    for cell, group in groups(done, "id", "teachers"):
        ours = scores(known, group.id)
        other_jobs = references(jobs, cell, group)
        theirs = {against: scores(known, ids) for against, ids in other_jobs.items() if ids}
        shares = {}
        if len(theirs) == 2:
            gain, gap = gain_and_gap(ours, theirs["baseline"], theirs["teacher"])
            for repeat in gap.columns:
                shares[repeat] = share_of_one(_known(gain, repeat), _known(gap, repeat))
        for against, reference in theirs.items():
            paired = difference(ours, reference)
            folds = int(has_folds(paired))
            for repeat in paired.columns:
                own, seed = _known(paired, repeat), repeat[1]
                low, high = over_patients(own)
                both = (job for job in (*group.id, *other_jobs[against]) if seeds.get(job) == seed)
                doubt = next((why for job in both for why in doubted[job]), "")
                row = {**cell._asdict(), "seed": seed, "against": against, "difference": own.mean()}
                row |= {"low": low, "high": high, "verdict": f"none ({doubt or early(folds)})"}
                if against == "baseline":
                    row["gap_closed"] = shares.get(repeat)
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _known(paired: pd.DataFrame, repeat: tuple) -> NDArray[np.float64]:
    """The patients of one repeat that have a value."""
    values = paired[repeat].to_numpy()
    return values[~np.isnan(values)]
