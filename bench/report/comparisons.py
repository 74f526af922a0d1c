"""Records compared: every cell with its plain student and its teacher, paired by patient and repeat.

Pure functions of two frames (``bench/report/frames.py``): the finished jobs and their cases, where
``done`` has a row a job and ``cases`` a row a job and case. What is paired with what is in
``bench/report/cells.py``, the statistics are in ``bench/report/statistics.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bench.protocol import MIN_FOLDS
from bench.report.cells import (
    REFERRING,
    Cell,
    by_job,
    cells_of,
    difference,
    fold_means,
    groups,
    network,
    of_patients,
    overall,
    references,
    repeat_means,
    repeat_of,
    scores,
    scores_by_cell,
)
from bench.report.doubts import doubts, doubts_of_jobs, too_early
from bench.report.gaps import share
from bench.report.standard import standard
from bench.report.statistics import (
    ALPHA,
    MARGIN,
    holm,
    over_folds,
    over_patients,
    smallest_claim,
)

COMPARISON_COLUMNS = (
    *Cell._fields,
    *("standard", "against", "contrast", "patients", "seeds", "folds", "difference"),
    *("low", "high", "low_method", "high_method", "sd", "of_each", "gap_closed", "beyond_twin"),
    *("p", "p_holm", "smallest", "unseen", "low_unseen", "high_unseen", "patients_unseen", "verdict"),
)
NONE_NAMED: Mapping[str, Collection[str]] = MappingProxyType({})
UNSEEN = {
    "unseen": "difference",
    "low_unseen": "low_method",
    "high_unseen": "high_method",
    "patients_unseen": "patients",
}
"""Columns of a contrast on the patients that no choice was made on, and what they are elsewhere."""


def comparisons(
    done: pd.DataFrame,
    cases: pd.DataFrame,
    contrasts: Mapping[str, Collection[str]] = NONE_NAMED,
    chosen_on: Collection[str] = (),
) -> pd.DataFrame:
    """Every cell against the same student's baseline and against its teacher, over the repeats both have.

    One row a comparison. ``difference`` is the mean over folds, without folds over patients; ``low`` and
    ``high`` are its 95 % interval over pooled patients, for these networks; ``low_method``, ``high_method``
    and ``p`` come from the fold means and hold for the method. ``of_each`` lists the difference of each
    fold (without folds: each seed), ``sd`` is their spread. ``p_holm`` and ``smallest``, the smallest
    difference that could have been claimed, are for the named contrasts alone. ``beyond_twin`` is the
    difference to the baseline less that of the same student taught by its own plain twin.

    Args:
        contrasts: cells ``architecture:method`` that were named before the study began, and the ids of the
            jobs that each stands for. Only these are claimed, each against the plain student, and only over
            these jobs: repeats that are added later would be a second look. Older studies have not kept the
            ids: there a contrast stands for its standard cell.
        chosen_on: patients that choices were made on before. ``unseen`` is the difference over the others,
            with its interval over folds, of the contrasts.
    """
    known, usual, early = by_job(cases), _usual(done), too_early(done)
    named, family = _named(done, contrasts), len(contrasts)
    doubts_of_all, doubts_of_named = doubts_of_jobs(done), doubts_of_jobs(_repeats_of(done, named))
    rows, jobs = [], done[REFERRING]
    for cell, group in groups(done, "id", "teachers", "train_patients"):
        claimed = group.id[group.id.isin(list(named))]
        ours = scores(known, claimed if len(claimed) else group.id)
        other_jobs = references(jobs, cell, group)
        theirs = {against: scores(known, ids) for against, ids in other_jobs.items() if ids}
        ratio = test_to_train(ours, group)
        for against, reference in theirs.items():
            paired = difference(ours, reference)
            if not paired.size:
                continue
            row = {**cell._asdict(), "standard": set(group.id) <= usual, "against": against}
            row |= {"contrast": False, **_describe(paired, ratio)}
            doubted = doubts_of_named if len(claimed) else doubts_of_all
            why = (why for job in (*group.id, *other_jobs[against]) for why in doubted.get(job, ()))
            row["doubt"] = next(why, "") or early(row["folds"])
            if against == "baseline" and len(claimed):
                row["contrast"] = True
                repeats, planned = paired.shape[1], max(named[job] for job in claimed)
                row["doubt"] = row["doubt"] or (f"{repeats} of {planned} jobs" if repeats < planned else "")
                if row["folds"] >= MIN_FOLDS:
                    row["smallest"] = float(smallest_claim(row["error"], row["folds"], family))
                if chosen_on:
                    row |= _of_unseen(ours, reference, group, chosen_on)
            if against == "baseline" and "teacher" in theirs:
                row["gap_closed"] = share(ours, reference, theirs["teacher"], ratio)
            rows.append(row)
    frame = pd.DataFrame(rows, columns=[*COMPARISON_COLUMNS, "doubt"])
    # A contrast that can't be claimed yet counts like one without a result: as one that found nothing.
    family_p = frame.p.where(frame.contrast.astype(bool) & (frame.doubt == ""))
    frame["p_holm"] = holm(family_p.astype(float), family)
    frame["beyond_twin"] = _beyond_twin(frame)
    frame["verdict"] = [f"none ({row.doubt})" if row.doubt else _verdict(row) for row in frame.itertuples()]
    return frame.drop(columns="doubt")


def _of_unseen(
    ours: pd.DataFrame, reference: pd.DataFrame, jobs: pd.DataFrame, chosen_on: Collection[str]
) -> dict[str, Any]:
    """The difference on patients that no choice has seen, with the share of patients that these are."""
    unseen = ours.drop(index=list(chosen_on), level="patient", errors="ignore")
    found = _describe(difference(unseen, reference), test_to_train(unseen, jobs))
    return {name: found.get(key, np.nan) for name, key in UNSEEN.items()}


def _usual(done: pd.DataFrame) -> set[str]:
    """Ids of the standard cells' jobs, of every loss, kind of image and number of updates."""
    parts = [standard(own) for _, own in done.groupby(["seg_loss", "slices", "updates_asked"])]
    return {name for own in parts for name in own.id}


def _beyond_twin(compared: pd.DataFrame) -> pd.Series:
    """Of each gain what its student's plain twin does not give as well; NaN where no twin taught it.

    A twin knows the student's labels, so a teacher that saw all is compared with the same one. One of other
    patients is compared with a twin of its own row: its students see fewer images.
    """
    alike = [name for name in Cell._fields if name != "teacher"]
    gains = compared[compared.against == "baseline"]
    taught = gains[gains.teacher != ""]
    own = taught[(taught.teacher == taught.architecture) & (taught.teacher_labels != "all")]
    twins = own.set_index(alike)["difference"]
    taught = taught.replace({"teacher_labels": {"all": "same"}})
    keys = pd.MultiIndex.from_frame(taught[alike])
    return taught["difference"] - twins.reindex(keys).to_numpy()


def of_cells(shown: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """The comparisons of the cells of ``shown``."""
    cells = set(cells_of(shown))
    return compared.loc[np.array([cell in cells for cell in cells_of(compared)], dtype=bool)]


def shown_interval(row: Any) -> tuple[float, float]:
    """Of a comparison the method's interval where there are folds enough, else that of these networks."""
    return (row.low, row.high) if np.isnan(row.low_method) else (row.low_method, row.high_method)


def leaders(done: pd.DataFrame, cases: pd.DataFrame) -> set[Cell]:
    """The best cells of each network: the highest mean, and all that it can't be shown to beat.

    By the rule of claims, with Holm over the network's other cells. Empty for a network whose cells can't
    be told apart, or where nothing may be claimed yet. Cells that compare nothing (``doubts``) are out.
    """
    doubted, early = doubts(done), too_early(done)
    known, ratios = by_job(cases), {}
    rivals: dict[tuple, list[tuple[Cell, pd.DataFrame]]] = {}
    for cell, group in groups(done, "id", "train_patients"):
        if doubted[cell]:
            continue
        own = scores(known, group.id)
        ratios[cell] = test_to_train(own, group)
        rivals.setdefault(network(cell), []).append((cell, own))
    best: set[Cell] = set()
    for cells in rivals.values():
        cells.sort(key=lambda pair: -np.nan_to_num(overall(of_patients(pair[1])), nan=-1.0))
        (top, own), *others = cells
        means = [fold_means(difference(own, other)) for _, other in others]
        p = [np.nan if early(len(one)) else float(over_folds(one, ratios[top]).p) for one in means]
        beaten = holm(p) < ALPHA
        if beaten.any():
            best |= {top, *(cell for (cell, _), lost in zip(others, beaten, strict=True) if not lost)}
    return best


def levels(done: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of every cell, repeats averaged per patient, with its 95 % interval over patients."""
    rows = []
    for cell, own in scores_by_cell(done, cases).items():
        values = own.mean(axis=1).dropna().to_numpy()
        low, high = over_patients(values)
        mean = values.mean() if len(values) else np.nan
        rows.append({**cell._asdict(), "dice": mean, "low": low, "high": high})
    return pd.DataFrame(rows, columns=[*Cell._fields, "dice", "low", "high"])


def test_to_train(own: pd.DataFrame, jobs: pd.DataFrame) -> float:
    """Tested patients of a fold of a cell divided by its training patients, both means over folds."""
    tested = of_patients(own).notna().T.groupby(level="fold").any().sum(axis=1).mean()
    return float(tested / max(jobs.train_patients.astype(float).mean(), 1.0))


def _named(done: pd.DataFrame, contrasts: Mapping[str, Collection[str]]) -> dict[str, int]:
    """The jobs of the contrasts, and of how many its contrast is; 0 where a study has not kept that.

    There they are those of the standard cell, of the default L_seg where the study has it.
    """
    kept = {job: len(jobs) for jobs in contrasts.values() for job in jobs}
    if kept or not len(done):
        return kept
    losses = set(done.seg_loss)
    own = standard(done[done.seg_loss == ("dice-bce" if "dice-bce" in losses else min(losses))])
    names = [name.strip() for name in contrasts]
    return dict.fromkeys(own.id[(own.architecture + ":" + own.method).isin(names)], 0)


def _repeats_of(done: pd.DataFrame, named: Collection[str]) -> pd.DataFrame:
    """The jobs of the folds and seeds that were named: what came later speaks for and against nothing."""
    repeats = repeat_of(done)
    return done[repeats.isin(repeats[done.id.isin(list(named))])]


def _describe(paired: pd.DataFrame, ratio: float) -> dict[str, Any]:
    """A difference, patients × repeats, as numbers."""
    patients = paired.mean(axis=1).to_numpy()
    low, high = over_patients(patients)
    folds, each = fold_means(paired), repeat_means(paired)
    found = {
        "patients": len(patients),
        "seeds": _seeds(paired),
        "folds": len(folds),
        "difference": overall(paired),
        "low": low,
        "high": high,
        "sd": each.std(ddof=1) if len(each) > 1 else np.nan,
        "of_each": " ".join(f"{value:.6f}" for value in each),
    }
    if len(folds) < MIN_FOLDS:
        return found
    method = over_folds(folds, ratio)
    ends = {"low_method": float(method.low), "high_method": float(method.high)}
    return found | ends | {"p": float(method.p), "error": float(method.error)}


def _seeds(paired: pd.DataFrame) -> int:
    """How many seeds there are, in each fold where there are folds."""
    repeats = paired.columns.to_frame(index=False)
    return int(repeats.groupby("fold").seed.nunique().max())


def _verdict(row: Any) -> str:
    """What may be said about a comparison of all folds."""
    if row.against == "teacher":
        if row.low_method > -MARGIN:
            return "as good"
        return "worse" if row.high_method < -MARGIN else "open"
    if not row.contrast:
        return "descriptive"
    if row.p_holm < ALPHA:
        return "gain" if row.difference > 0 else "harm"
    return "not significant"
