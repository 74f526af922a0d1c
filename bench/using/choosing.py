"""Which network of a study to take: the best on validation of those within a user's limits.

Pure functions of the report's frames. Repeats of one recipe (folds, seeds) are one candidate. Only
validation patients decide; test scores are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bench.errors import UserError
from bench.protocol import MIN_FOLDS
from bench.report.captions import counted
from bench.report.cells import RECIPE, by_job, difference, fold_means, largest_teachers, overall, scores
from bench.report.comparisons import test_to_train
from bench.report.statistics import over_folds, over_patients
from bench.using.wishes import Limits

SAME = [*RECIPE, "teacher", "runtime", "artefact_precision"]
"""What repeats of a candidate have in common."""


@dataclass(frozen=True)
class Candidate:
    """A recipe on an architecture, with all of its repeats.

    Attributes:
        jobs: rows of the summary, best on validation first.
        dice: the mean over repeats of the validation Dice.
        test: of the test Dice; NaN where the study has none.
        ms: of one image, p50; None where that was not measured. The same holds for memory.
        scored: validation Dice, cases by repeats.
        fault: why it is left out; empty where it keeps to all limits.
        short: whether that is so because it lacks folds that others have.
    """

    jobs: pd.DataFrame = field(repr=False)
    dice: float
    test: float
    ms: float | None
    mb: float | None
    memory_mb: float | None
    scored: pd.DataFrame = field(repr=False)
    fault: str = ""
    short: bool = False

    @property
    def id(self) -> str:
        """The job whose network is meant: the best of the repeats on validation."""
        return str(self.jobs.id.iloc[0])

    @property
    def name(self) -> str:
        """Architecture and recipe."""
        first = self.jobs.iloc[0]
        return f"{first.architecture}:{first.recipe}"


@dataclass(frozen=True)
class Against:
    """A candidate beside the chosen one: what it has less on validation, paired; NaN where unknown."""

    candidate: Candidate
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """``worse``, ``alike`` (not to be told apart), or ``open``: too few patients to tell."""
        if np.isnan(self.low):
            return "open"
        return "alike" if self.low <= 0 <= self.high else "worse"


@dataclass(frozen=True)
class Choice:
    """The answer; ``best`` None: nothing keeps to the limits. ``disturbed``: what is wrong with times."""

    best: Candidate | None
    others: tuple[Against, ...]
    left_out: tuple[Candidate, ...]
    disturbed: str = ""


def candidates(
    summary: pd.DataFrame, cases: pd.DataFrame, latency: pd.DataFrame, limits: Limits
) -> list[Candidate]:
    """All of a study's networks, with what they cost.

    Args:
        summary: a row a job.
        cases: a row a job and case of the validation part.
        latency: a row a measurement.
        limits: which side and how many threads count.
    """
    known, found = by_job(cases), []
    done = summary[summary.status == "done"]
    for _, group in done.groupby(SAME, sort=False, dropna=False):
        own = group.sort_values("dice_val", ascending=False, kind="stable")
        ms, memory = cost_of(own.iloc[0], latency, limits)
        size = own.size_mb.iloc[0]
        found.append(
            Candidate(
                own,
                dice=_mean(own, "dice_val"),
                test=_mean(own, "dice") if own.dice.notna().all() else np.nan,
                ms=ms,
                mb=None if pd.isna(size) else float(size),
                memory_mb=memory,
                scored=scores(known, list(own.id)),
            )
        )
    return found


def _mean(jobs: pd.DataFrame, column: str) -> float:
    """Over folds, so that each counts alike however many seeds it has."""
    return float(jobs.groupby("fold", dropna=False)[column].mean().mean())


def cost_of(job: pd.Series, latency: pd.DataFrame, limits: Limits) -> tuple[float | None, float | None]:
    """Milliseconds and MB that were measured of a job's network on a processor."""
    if not len(latency):
        return None, None
    volume = latency.get("volume", pd.Series(False, latency.index)).fillna(False).astype(bool)
    whole = limits.side is None and (job.spatial_dims == 3 or job.slices == "axial")
    side = limits.side or job.image_size
    own = latency[
        (latency.graph == job.graph)
        & (latency.device == "cpu")
        & (latency.side == side)
        & (volume == whole)
    ]
    timed = own[own.threads == limits.threads].latency_ms_p50
    memory = own.peak_memory_mb.dropna()
    return (
        float(timed.iloc[-1]) if len(timed) else None,
        float(memory.iloc[-1]) if len(memory) else None,
    )


def within_limits(
    found: Sequence[Candidate], summary: pd.DataFrame, cases: pd.DataFrame, limits: Limits
) -> list[Candidate]:
    """The candidates, each with why it is left out, if it is.

    A fault that a candidate has already stays.

    Raises:
        UserError: ``within`` in a study where nobody teaches.
    """
    cheap = [replace(one, fault=one.fault or _too_much(one, limits)) for one in found]
    if limits.within is None:
        return _of_the_same_folds(cheap)
    teaching = largest_teachers(summary[summary.status == "done"])
    if not teaching:
        raise UserError("--within: no network of this study teaches; leave it out")
    teacher = scores(by_job(cases), teaching)
    return _of_the_same_folds(
        [replace(one, fault=one.fault or _inferior(one, teacher, limits.within)) for one in cheap]
    )


def _of_the_same_folds(found: Sequence[Candidate]) -> list[Candidate]:
    """Leaves out whoever lacks a fold that another one within the limits has.

    Each fold has other validation patients: the mean over an easy one alone would win over that of all.
    """
    folds = [set(one.jobs.fold.dropna()) for one in found]
    wanted = set().union(*(own for one, own in zip(found, folds, strict=True) if not one.fault))
    return [
        replace(one, fault=f"only {len(own)} of {counted(len(wanted), 'fold')} done", short=True)
        if wanted - own and not one.fault
        else one
        for one, own in zip(found, folds, strict=True)
    ]


def _too_much(one: Candidate, limits: Limits) -> str:
    """Which limit of cost a candidate does not keep to; empty if it keeps to all."""
    first = one.jobs.iloc[0]
    if limits.runtime not in ("", first.runtime):
        return f"runs in {first.runtime}"
    if first.predicts:
        return f"predicts {first.predicts}"
    asked = (
        ("ms", one.ms, limits.max_ms, f"on {counted(limits.threads, 'thread')}"),
        ("MB", one.mb, limits.max_mb, "of file"),
        ("MB", one.memory_mb, limits.max_memory_mb, "of memory"),
    )
    for unit, value, most, what in asked:
        if most is not None and value is None:
            return f"{unit} {what} not measured"
        if most is not None and value is not None and value > most:
            return f"{value:.3g} {unit} {what}"
    return ""


def _inferior(one: Candidate, teacher: pd.DataFrame, margin: float) -> str:
    """Whether it may lose more than ``margin`` on the teacher; empty if not."""
    lost = difference(one.scored, teacher)
    if not lost.to_numpy().any():  # the teacher itself
        return ""
    low, _ = bounds(one, teacher)
    if np.isnan(low):
        return "too few patients to compare it with the teacher"
    mean = f"{overall(lost):+.3f} in the mean"
    return "" if low > -margin else f"may be {-low:.3f} below the teacher ({mean})"


def bounds(one: Candidate, other: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of what a candidate has more than another, paired: of folds if there are enough."""
    paired = difference(one.scored, other)
    folds = fold_means(paired)
    if len(folds) >= MIN_FOLDS:
        method = over_folds(folds, test_to_train(one.scored, one.jobs))
        return float(method.low), float(method.high)
    return over_patients(paired.mean(axis=1))


def choose(found: Sequence[Candidate]) -> Choice:
    """The best on validation (of equals the fastest), and how the others compare with it."""
    fit = sorted(
        (one for one in found if not one.fault),
        key=lambda one: (-one.dice, np.inf if one.ms is None else one.ms, one.mb or np.inf),
    )
    out = tuple(one for one in found if one.fault)
    if not fit:
        return Choice(None, (), out)
    best, *rest = fit
    others = []
    for one in rest:
        low, high = bounds(best, one.scored)
        others.append(Against(one, overall(difference(best.scored, one.scored)), low, high))
    return Choice(best, tuple(others), out)
