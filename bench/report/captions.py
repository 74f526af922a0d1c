"""What tables and figures say of themselves: which data, how many folds, seeds, updates; what to mind."""

from __future__ import annotations

import pandas as pd

from bench.protocol import FEW_UPDATES
from bench.report.frames import score_column
from bench.report.statistics import MARGIN, MIN_FOLDS, MIN_GAP

CLAIMS = (
    "Δ plain: Dice points over the same student trained plainly, paired by patient and by fold and seed; "
    "Δ teacher: over its teacher. 95 % intervals: of the method, from the means of the folds (Student's t, "
    "Nadeau and Bengio's variance); and of these networks alone, for new patients (BCa bootstrap over "
    "pooled patients). Claimed are only contrasts that were named before the study began, with Holm's p "
    f"below 0.05 over all of them and at least {MIN_FOLDS} folds. As good as the teacher: the method's "
    f"interval lies above −{100 * MARGIN:.0f} points."
)
GAP = (
    "Gap closed: the gain as a share of teacher − plain; there is no gap where that is less than "
    f"{100 * MIN_GAP:.0f} points or its interval reaches zero."
)


def has_folds(frame: pd.DataFrame) -> bool:
    """Whether the jobs are of folds."""
    return bool(len(frame)) and bool(frame.fold.notna().all())


def repeat(frame: pd.DataFrame) -> str:
    """What a mean is over: ``fold`` or ``seed``."""
    return "fold" if has_folds(frame) else "seed"


def repeats(frame: pd.DataFrame) -> str:
    """How many folds and seeds there are: ``3 seeds``, ``2 of 5 folds``, ``5 folds of 2 seeds``."""
    if not has_folds(frame):
        return counted(frame.seed.nunique(), "seed")
    found, planned = frame.fold.nunique(), frame.folds.max()
    some = not pd.isna(planned) and found < planned
    text = f"{found} of {counted(planned, 'fold')}" if some else counted(found, "fold")
    seeds = frame.groupby("fold").seed.nunique().max()
    return text if seeds == 1 else f"{text} of {seeds} seeds"


def by_repeat(group: pd.DataFrame, column: str) -> pd.Series:
    """A cell's scores: the mean of each fold, or without folds of each seed."""
    means: pd.Series = group.groupby(repeat(group))[column].mean()
    return means


def updates(frame: pd.DataFrame) -> str:
    """The updates of a job, or their range; empty where records don't say."""
    known = frame.updates.dropna().astype(int)
    if not len(known):
        return ""
    low, high = known.min(), known.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def origin(frame: pd.DataFrame) -> str:
    """What every caption must say: which data, which part, how many folds or seeds, how many updates."""
    _, part = score_column(frame)
    synthetic = "synthetic data, " if frame.synthetic.fillna(False).any() else ""
    seen = sorted(set(zip(frame.image_size, frame.spatial_dims, strict=True)))
    sizes = " and ".join(f"{size}{'²' if dims == 2 else '³'}" for size, dims in seen)
    names = ", ".join(sorted(frame.dataset.unique()))
    trained = updates(frame)
    trained = f", {trained} updates a job" if trained else ""
    return f"{names} ({synthetic}{sizes}), {part} scores, {repeats(frame)}{trained}"


def cautions(frame: pd.DataFrame) -> str:
    """Sentences on what makes these numbers less than they seem; empty where nothing does."""
    texts = []
    few = int((frame.updates < FEW_UPDATES).sum())
    if few:
        jobs = "1 job has" if few == 1 else f"{few} jobs have"
        texts.append(f"Under-trained: {jobs} fewer than {FEW_UPDATES} updates.")
    if (frame.teacher_labels == "all").any():
        texts.append("Teacher's labels all: an upper bound, the teacher saw these labels.")
    for what in ("nothing", "everything"):
        found = " and ".join((own := frame[frame.predicts == what]).architecture + " " + own.recipe)
        if found:
            texts.append(f"On all validation cases {found} predicted {what}.")
    versions = frame.code.nunique()
    if versions > 1:
        texts.append(f"Not all of one code: {versions} versions of it made these records.")
    return "".join(f" {text}" for text in texts)


def claimable(compared: pd.DataFrame) -> str:
    """The smallest gain that a table's comparisons could have claimed, as a sentence."""
    gains = compared[compared.against == "baseline"]
    if not len(gains):
        return ""
    if not gains.folds.max():
        return " One split: nothing is claimed."
    if gains.folds.max() < MIN_FOLDS:
        return f" {counted(gains.folds.max(), 'fold')}: too few for a claim."
    smallest = 100 * gains.smallest.dropna().astype(float)
    if not len(smallest):
        return " None of these was named before the study began: nothing is claimed."
    low, high = f"{smallest.min():.1f}", f"{smallest.max():.1f}"
    span = low if low == high else f"{low} to {high}"
    return f" The smallest gain that could have been claimed: {span} points."


def counted(number: int, what: str) -> str:
    """``1 fold``, ``2 folds``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
