"""Records compared: every cell with its baseline and its teacher, paired by patient and seed.

Pure functions of two frames (``bench/report/frames.py``): the finished jobs and their cases, where
``done`` has a row a job and ``cases`` a row a job and case. The statistics are in
``bench/report/statistics.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.report.frames import standard
from bench.report.statistics import (
    MARGIN,
    MIN_PATIENTS,
    MIN_SEEDS,
    Floats,
    claimed,
    holm,
    interval,
    ratio_interval,
    signed_rank,
)


class Cell(NamedTuple):
    """What is compared: everything that tells two jobs apart but the seed."""

    dataset: str
    image_size: int
    seg_loss: str
    architecture: str
    method: str
    variant: str
    method_parameters: str
    teacher: str


COMPARISON_COLUMNS = (
    *Cell._fields,
    *("standard", "against", "patients", "seeds", "difference", "low", "high", "sd_seeds", "per_seed"),
    *("p", "p_holm", "verdict"),
)


def cells_of(frame: pd.DataFrame) -> list[Cell]:
    """The cell of each row."""
    filled = frame.fillna({"teacher": "", "variant": "", "method_parameters": ""})
    return [Cell(*row) for row in filled[list(Cell._fields)].itertuples(index=False)]


def scores_by_cell(done: pd.DataFrame, cases: pd.DataFrame) -> dict[Cell, pd.DataFrame]:
    """Dice of every cell, patients × seeds: the mean over the patient's cases."""
    means = _patient_means(cases)
    return {cell: _pivot(means, group.id) for cell, group in _groups(done)}


def comparisons(done: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Every cell against the same student's baseline and against its teacher, over the seeds both have.

    One row a comparison: ``difference`` with ``low`` and ``high`` (its 95 % interval), ``sd_seeds`` (spread
    of the seeds' differences ``per_seed``), ``p`` and ``p_holm`` (baseline only; a family is one dataset,
    image size and L_seg, loss variants apart) and a ``verdict``: ``gain``, ``harm``, ``not significant``;
    against the teacher ``as good``, ``worse`` or ``open``; or which of patients and seeds are too few.
    """
    means = _patient_means(cases)
    usual = {name for _, own in done.groupby("seg_loss") for name in standard(own).id}
    rows = []
    for cell, group in _groups(done):
        ours = _pivot(means, group.id)
        for against, ids in (
            ("baseline", _baseline(done, cell)),
            ("teacher", _teachers(done, cell, group)),
        ):
            paired = _difference(ours, _pivot(means, ids)) if len(ids) else pd.DataFrame()
            if paired.size:
                own = {**cell._asdict(), "standard": set(group.id) <= usual, "against": against}
                rows.append(own | _describe(paired, with_test=against == "baseline"))
    frame = pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
    family = ["against", "dataset", "image_size", "seg_loss", "standard"]
    apart = frame[["variant", "teacher"]].where(~frame.standard.astype(bool), "")
    frame["p_holm"] = frame.groupby(
        [*(frame[name] for name in family), apart.variant, apart.teacher], dropna=False
    ).p.transform(holm)
    frame["verdict"] = [_verdict(row) for row in frame.itertuples()]
    return frame


def leaders(done: pd.DataFrame, cases: pd.DataFrame) -> set[Cell]:
    """The best cells of each network: the highest mean, and all that it can't be claimed to beat.

    Empty for a network whose cells can't be told apart, or that has too few patients or seeds.
    """
    groups: dict[tuple, list[tuple[Cell, pd.DataFrame]]] = {}
    for cell, scores in scores_by_cell(done, cases).items():
        groups.setdefault(cell[:4], []).append((cell, scores))
    best: set[Cell] = set()
    for cells in groups.values():
        cells.sort(key=lambda pair: -_mean(pair[1]))
        (top, scores), *others = cells
        paired = [_difference(scores, other) for _, other in others]
        beaten = claims(paired)
        if any(beaten):
            best |= {top, *(cell for (cell, _), lost in zip(others, beaten, strict=True) if not lost)}
    return best


def claims(paired: Sequence[pd.DataFrame]) -> list[bool]:
    """Which of a family of differences, patients × seeds each, may be claimed."""
    adjusted = holm([_test(difference) for difference in paired])
    per_seed = [difference.mean(axis=0).to_numpy() for difference in paired]
    return [bool(claimed(p, seeds)) for p, seeds in zip(adjusted, per_seed, strict=True)]


def levels(done: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of every cell, seeds averaged per patient, with its 95 % interval over patients."""
    rows = []
    for cell, scores in scores_by_cell(done, cases).items():
        values = scores.mean(axis=1).dropna().to_numpy()
        low, high = interval(values) if len(values) >= MIN_PATIENTS else (np.nan, np.nan)
        mean = values.mean() if len(values) else np.nan
        rows.append({**cell._asdict(), "dice": mean, "low": float(low), "high": float(high)})
    return pd.DataFrame(rows, columns=[*Cell._fields, "dice", "low", "high"])


def gap_closed(done: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The share of the gap between plain student and teacher that each method closes, 95 % interval.

    Only for students whose gap is there, that is, whose interval lies above zero: a share of nothing
    means nothing. 1: the student does what its teacher does.
    """
    means = _patient_means(cases)
    rows = []
    for cell, group in _groups(done):
        teachers, plain = _teachers(done, cell, group), _baseline(done, cell)
        if not len(teachers) or not len(plain):
            continue
        reference = _pivot(means, plain)
        gain = _difference(_pivot(means, group.id), reference).mean(axis=1)
        gap = _difference(_pivot(means, teachers), reference).mean(axis=1)
        both = pd.concat([gain, gap], axis=1, keys=["gain", "gap"]).dropna()
        if len(both) < MIN_PATIENTS or interval(both.gap.to_numpy())[0] <= 0:
            continue
        low, high = ratio_interval(both.gain.to_numpy(), both.gap.to_numpy())
        share = both.gain.mean() / both.gap.mean()
        rows.append({**cell._asdict(), "share": share, "low": float(low), "high": float(high)})
    return pd.DataFrame(rows, columns=[*Cell._fields, "share", "low", "high"])


def _groups(done: pd.DataFrame) -> Iterator[tuple[Cell, pd.DataFrame]]:
    filled = done.fillna({"teacher": "", "variant": "", "method_parameters": ""})
    for key, group in filled.groupby(list(Cell._fields), sort=False, dropna=False):
        yield Cell(*key), group


def _patient_means(cases: pd.DataFrame) -> pd.DataFrame:
    return cases.groupby(["id", "seed", "patient"], as_index=False).dice.mean()


def _pivot(means: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """Patients × seeds of the jobs ``ids``; those that weren't scored at all are left out."""
    own = means[means.id.isin(ids)]
    table = own.pivot_table(index="patient", columns="seed", values="dice", aggfunc="mean")
    return table.astype(np.float64)


def _difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Patients × seeds that both have."""
    return (ours - theirs).dropna(axis=1, how="all").dropna(axis=0, how="all")


def _mean(scores: pd.DataFrame) -> float:
    mean = scores.mean(axis=1).mean()
    return -1.0 if np.isnan(mean) else float(mean)


def _baseline(done: pd.DataFrame, cell: Cell) -> list[str]:
    """Jobs of the same network trained plainly; none for a baseline itself."""
    if cell.method == "baseline":
        return []
    same = (done[["dataset", "image_size", "seg_loss", "architecture"]] == list(cell[:4])).all(axis=1)
    return list(done.id[same & (done.method == "baseline")])


def _teachers(done: pd.DataFrame, cell: Cell, group: pd.DataFrame) -> list[str]:
    """The cell's own teachers; a plain student's are those of the distilled ones, the largest of them.

    None for a teacher, and where a student has several at once.
    """
    named = group.teachers.fillna("").str.split()
    if (named.str.len() > 1).any():
        return []
    own = {name for names in named for name in names}
    if own:
        return list(own)
    near = done[(done.dataset == cell.dataset) & (done.image_size == cell.image_size)]
    everyone = {name for names in near.teachers.fillna("") for name in names.split()}
    teaching = near[near.id.isin(everyone)]
    if not len(teaching) or set(group.id) & everyone:
        return []
    largest = teaching.sort_values("parameters", kind="stable").architecture.iloc[-1]
    return list(teaching.id[teaching.architecture == largest])


def _test(paired: pd.DataFrame) -> float:
    """Wilcoxon's p of a difference, patients × seeds; NaN with too few patients."""
    return float(signed_rank(paired.mean(axis=1))) if len(paired) >= MIN_PATIENTS else np.nan


def _describe(paired: pd.DataFrame, with_test: bool) -> dict[str, Any]:
    """A difference, patients × seeds, as numbers."""
    values, per_seed = paired.mean(axis=1).to_numpy(), paired.mean(axis=0).to_numpy()
    low, high = interval(values) if len(values) >= MIN_PATIENTS else (np.nan, np.nan)
    return {
        "patients": len(values),
        "seeds": len(per_seed),
        "difference": values.mean() if len(values) else np.nan,
        "low": float(low),
        "high": float(high),
        "sd_seeds": per_seed.std(ddof=1) if len(per_seed) > 1 else np.nan,
        "per_seed": " ".join(f"{value:.6f}" for value in per_seed),
        "p": _test(paired) if with_test else np.nan,
    }


def _verdict(row: Any) -> str:
    """What may be said about a comparison."""
    if row.patients < MIN_PATIENTS:
        return f"none ({_count(row.patients, 'patient')})"
    if row.seeds < MIN_SEEDS:
        return f"none ({_count(row.seeds, 'seed')})"
    per_seed = _floats(row.per_seed)
    if row.against == "baseline":
        # The test is of ranks: where a few patients outweigh it, mean and ranks may point apart.
        apart = row.low > 0 or row.high < 0
        if apart and claimed(row.p_holm, per_seed):
            return "gain" if row.difference > 0 else "harm"
        return "not significant"
    if row.low > -MARGIN and (per_seed > -MARGIN).all():
        return "as good"
    return "worse" if row.high < -MARGIN and (per_seed < -MARGIN).all() else "open"


def _floats(text: str) -> Floats:
    return np.array(text.split(), dtype=np.float64)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
