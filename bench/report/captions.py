"""What tables and figures say of themselves: which data, how many folds, seeds, updates; what to mind."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from bench.data.teacher_saw import UNKNOWN
from bench.protocol import FEW_UPDATES, MIN_FOLDS
from bench.report.cells import Cell, cells_of, groups, teacher_ids
from bench.report.doubts import FALLS, FAR_BELOW, FEW_PATIENTS, UNUSABLE, doubts, patients
from bench.report.frames import score_column
from bench.report.statistics import MARGIN, MIN_GAP

PLAIN = "Δ plain: Dice points over the same student trained plainly, paired by patient and by fold and seed"
OF_METHOD = "of the method, from the means of the folds (Student's t, Nadeau and Bengio's variance)"
INTERVALS = (
    f"95 % intervals: {OF_METHOD}; and of these networks alone, for new patients (BCa bootstrap over "
    "pooled patients)."
)
CLAIMED = (
    "Claimed are only contrasts that were named before the study began, with Holm's p below 0.05 over all "
    f"of them, once all folds are there, {MIN_FOLDS} at least."
)
CLAIMS = (
    f"{PLAIN}; Δ teacher: over its teacher. {INTERVALS} {CLAIMED} "
    f"As good as the teacher: the method's interval lies above −{100 * MARGIN:.0f} points."
)
GAP = (
    "Gap closed: the gain as a share of teacher − plain; there is no gap where that is less than "
    f"{100 * MIN_GAP:.0f} points or its interval reaches zero."
)

EARLY = r"none \((\d+ of \d+ (?:folds|jobs)|validation scores)\)"
"""Verdicts of comparisons that were read before all folds were there, or are of no test scores."""
NAMED = 4
"""Cells, or lines on the data, that a sentence names before it counts the others."""


def has_folds(frame: pd.DataFrame) -> bool:
    """Whether the jobs are of folds."""
    return bool(len(frame)) and bool(frame.fold.notna().all())


def repeat(frame: pd.DataFrame) -> str:
    """What a mean is over: ``fold`` or ``seed``."""
    return "fold" if has_folds(frame) else "seed"


def averaged(frame: pd.DataFrame) -> str:
    """How a Dice is averaged, and what the deviation behind ± is over where a cell has several repeats."""
    several = any(group.nunique().item() > 1 for _, group in groups(frame, repeat(frame)))
    return "mean over patients" + (f" ± sd over {repeat(frame)}s" if several else "")


def repeats(frame: pd.DataFrame) -> str:
    """How many folds and seeds a cell has: ``3 seeds``, ``2 of 5 folds``, ``5 folds of 2 seeds``.

    A range where cells have not as many: ``1 to 3 seeds``.
    """
    cells = [group for _, group in groups(frame, "fold", "seed")]
    if not has_folds(frame):
        return ranged([group.seed.nunique() for group in cells], "seed")
    found, planned = [group.fold.nunique() for group in cells], frame.folds.max()
    some = not pd.isna(planned) and min(found) < planned
    text = f"{span(found)} of {counted(planned, 'fold')}" if some else ranged(found, "fold")
    seeds = [number for group in cells for number in group.groupby("fold").seed.nunique()]
    return text if max(seeds) == 1 else f"{text} of {ranged(seeds, 'seed')}"


def progress(frame: pd.DataFrame) -> str:
    """How many of the study's jobs are done; empty where all are."""
    return str(frame.progress.iloc[0]) if len(frame) else ""


def tested(frame: pd.DataFrame) -> str:
    """On how many patients a cell was scored, or the range over cells."""
    return ranged([patients(group) for _, group in groups(frame, "scored_on")], "patient")


def unit(frame: pd.DataFrame) -> str:
    """What distances are in: ``mm`` or ``px``."""
    return " or ".join(sorted(frame.distance_unit.dropna().unique()))


def by_repeat(group: pd.DataFrame, column: str) -> pd.Series:
    """A cell's scores: the mean of each fold, or without folds of each seed."""
    means: pd.Series = group.groupby(repeat(group))[column].mean()
    return means


def updates(frame: pd.DataFrame) -> str:
    """The updates of a job, or their range; empty where records don't say."""
    known = frame.updates[frame.updates > 0].astype(int)  # what is only converted has none
    if not len(known):
        return ""
    low, high = known.min(), known.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def extent(side: int, spatial_dims: int) -> str:
    """``96²`` of images, ``32³`` of volumes."""
    return f"{side}{'²' if spatial_dims == 2 else '³'}"


def origin(frame: pd.DataFrame) -> str:
    """What every caption must say: which data, which part, how many folds or seeds, how many updates."""
    _, part = score_column(frame)
    synthetic = "synthetic data, " if frame.synthetic.fillna(False).any() else ""
    seen = sorted(set(zip(frame.image_size, frame.spatial_dims, frame.slices, strict=True)))
    sizes = " and ".join(
        f"{extent(size, dims)}{f', {slices} slices' if slices else ''}" for size, dims, slices in seen
    )
    names = ", ".join(sorted(frame.dataset.unique()))
    trained = updates(frame)
    trained = f", {trained} updates a job" if trained else ""
    about = f"{names} ({synthetic}{sizes}), {part} scores, {repeats(frame)}{trained}, {tested(frame)}"
    return f"{about}; so far {progress(frame)}" if progress(frame) else about


def cautions(frame: pd.DataFrame) -> str:
    """Sentences on what makes these numbers less than they seem, also in the data; empty: nothing does."""
    odd = list(frame.odd_data.iloc[0]) if len(frame) else []
    more = f"; and {len(odd) - NAMED} more in study.json" if len(odd) > NAMED else ""
    said = f" Odd about the data: {'; '.join(odd[:NAMED])}{more}." if odd else ""
    return f"{cautions_of_jobs(frame)}{said}"


def cautions_of_jobs(frame: pd.DataFrame) -> str:
    """The same of the jobs alone."""
    texts = []
    few = int(frame.updates.between(1, FEW_UPDATES - 1).sum())
    if few:
        jobs = "1 job has" if few == 1 else f"{few} jobs have"
        texts.append(f"Under-trained: {jobs} fewer than {FEW_UPDATES} updates.")
    texts += _doubtful(frame)
    if (frame.teacher_labels == "all").any():
        texts.append("Teacher's labels all: an upper bound, the teacher saw these labels.")
    for what in ("nothing", "everything"):
        blank = frame.loc[frame.predicts == what, ["architecture", "recipe", "slices"]]
        names = [f"{row.architecture} {row.recipe}{_seen(frame, row.slices)}" for row in blank.itertuples()]
        if names:
            texts.append(f"On all validation cases {_listed(names)} predicted {what}.")
    if frame.shuffled.any():
        texts.append("Targets shuffled: a control, whose students learn from the targets of other samples.")
    if (frame.teacher == frame.architecture).any():
        texts.append("Of its plain twin: a control, whose gain is to be subtracted from that of others.")
    if (frame.teacher_saw == UNKNOWN).any():
        texts.append("The teacher may have seen these patients, nobody knows: nothing is claimed.")
    sets = sorted(set(frame.instruction_set.fillna("")) - {""})
    if len(sets) > 1:
        texts.append(f"INT8 of processors with {' and '.join(sets)}, which round otherwise, in one table.")
    again = _replaced(frame)
    names = list(again.architecture + ":" + again.recipe)
    if names:
        texts.append(
            f"Made again, and otherwise than before: {_listed(names)}; what was made from the earlier ones "
            "stands beside what was made from these."
        )
    versions = frame.code.nunique()
    if versions > 1:
        texts.append(f"Not all of one code: {versions} versions of it made these records.")
    return "".join(f" {text}" for text in texts)


def _replaced(frame: pd.DataFrame) -> pd.DataFrame:
    """Jobs whose network was made again and came out otherwise after others had been made from it."""
    again = frame.made_again.fillna(False).astype(bool)
    as_before = frame[~again & (frame.status == "done")]
    needed = teacher_ids(as_before) | set(as_before.source.fillna(""))
    return frame[again & frame.id.isin(needed)]


def _doubtful(frame: pd.DataFrame) -> list[str]:
    """Which cells compare nothing, by why; those of few updates are named already."""
    found = doubts(frame)
    names = _names(frame) if any(found.values()) else {}
    texts = []
    for reason in (FEW_PATIENTS, FALLS, UNUSABLE, FAR_BELOW):
        cells = [names[cell] for cell, reasons in found.items() if reason in reasons]
        if cells:
            every = "all cells" if len(cells) == len(found) else _listed(cells)
            texts.append(f"Compare nothing, for {reason}: {every}.")
    return texts


def _names(frame: pd.DataFrame) -> dict[Cell, str]:
    """Each cell's name, with labels, teacher and so on where a network has a method with several."""
    own = ["changed", "unusual", "at"]
    frame = frame.assign(at=" at " + frame.image_size.astype(str))
    several = frame.groupby(["architecture", "method"])[own].nunique().gt(1).to_dict("index")
    names = {}
    for cell, row in zip(cells_of(frame), frame.to_dict("records"), strict=True):
        told = several[cell.architecture, cell.method]
        more = "".join(row[name] for name in own if told[name])
        names[cell] = f"{cell.architecture}:{cell.method}{more}{_seen(frame, cell.slices)}"
    return names


def _seen(frame: pd.DataFrame, slices: str) -> str:
    """What a network sees, behind its name; empty where all see alike."""
    return (f" on {slices} slices" if slices else " on volumes") if frame.slices.nunique() > 1 else ""


def _listed(names: Collection[str]) -> str:
    """The first of the names, each once, and how many more there are."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - NAMED} more" if len(each) > NAMED else ""
    between = "; " if any("," in name for name in each) else ", "
    return f"{between.join(each[:NAMED])}{more}"


def claimable(compared: pd.DataFrame) -> str:
    """The smallest gain that a table's comparisons could have claimed, as a sentence."""
    gains = compared[compared.against == "baseline"]
    if not len(gains):
        return ""
    if (folds := gains.folds.max()) < MIN_FOLDS:
        return (
            f" {counted(folds, 'fold')}: too few for a claim."
            if folds
            else " One split: nothing is claimed."
        )
    early = gains.verdict.str.extract(EARLY)[0].dropna()
    if len(early) and gains.verdict.str.startswith("none").all():
        return f" {early.iloc[0].capitalize()}: nothing is claimed."
    named = gains[gains.contrast.astype(bool)]
    if not len(named):
        return " None of these was named before the study began: nothing is claimed."
    of_some = f" Of some there are {early.iloc[0]}: of these nothing is claimed." if len(early) else ""
    smallest = 100 * named.smallest[~named.verdict.str.startswith("none")].astype(float)
    if not len(smallest):
        return of_some or " None of these compares what was named: nothing is claimed."
    low, high = f"{smallest.min():.1f}", f"{smallest.max():.1f}"
    between = low if low == high else f"{low} to {high}"
    return f" The smallest gain that could have been claimed: {between} points.{of_some}"


def unseen_patients(compared: pd.DataFrame) -> str:
    """Who the columns of unseen patients are of, as a sentence; empty where there are none."""
    unseen = compared.patients_unseen.dropna().astype(int)
    return f" Unseen: the {unseen.max()} patients that no choice was made on before." if len(unseen) else ""


def span(numbers: Collection[int]) -> str:
    """``3``, or ``1 to 3``."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    return f"{low}" if low == high else f"{low} to {high}"


def ranged(numbers: Collection[int], what: str) -> str:
    """``3 seeds``, ``1 to 3 seeds``."""
    return f"{span(numbers)} {what}{'' if max(numbers, default=0) == 1 else 's'}"


def counted(number: int, what: str) -> str:
    """``1 fold``, ``2 folds``."""
    return f"{number} {what}{'' if number == 1 else 's'}"
