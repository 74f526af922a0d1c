"""How often the intervals and claims are right, on simulated studies whose truth is known.

``python -m bench.report.simulation`` prints the tables of docs/statistics.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bench.protocol import MIN_FOLDS
from bench.report.statistics import (
    ALPHA,
    Floats,
    OverFolds,
    holm,
    interval,
    over_folds,
    smallest_claim,
)

STUDENTS, METHODS = 2, 3
"""The family of named contrasts: every method on every student, each against its student's baseline."""
FAMILY = STUDENTS * METHODS
TRAINING_SHARE = 0.65
"""Of all patients, those that one fold trains on: neither its test patients nor its validation patients."""


@dataclass(frozen=True)
class Truth:
    """One difference in Dice between a method and its baseline, and what blurs it.

    ``effect`` is its mean over patients and networks. A patient gains more or less than that: standard
    deviation ``sd_patient``, of the given ``shape``. Each trained network (the baseline's too) is better or
    worse by ``sd_network`` for all patients of its fold, and by ``sd_residual`` for each. A part of the
    variance of networks, ``shared``, is common to all folds, for they train on almost the same patients.
    """

    effect: float = 0.0
    sd_patient: float = 0.03
    sd_network: float = 0.0
    sd_residual: float = 0.02
    shared: float = 0.0
    shape: str = "normal"
    patients: int = 122
    folds: int = 5

    @property
    def test_to_train(self) -> float:
        """Test patients of a fold divided by its training patients."""
        return 1 / (self.folds * TRAINING_SHARE)


@dataclass(frozen=True)
class Simulated:
    """Families of differences, and what their networks would reach on endless patients."""

    differences: Floats
    """``(repeats, students, methods, patients)``."""
    fold_means: Floats
    """``(repeats, students, methods, folds)``."""
    given_networks: Floats
    """``(repeats, students, methods)``: the true difference of these very networks."""


def simulate(
    truth: Truth, repeats: int, rng: np.random.Generator, effects: Floats | None = None
) -> Simulated:
    """Differences as a study of two students and three methods would find them.

    ``effects``: of each student and method; None: all have the ``truth``'s.
    """
    fold_of = np.arange(truth.patients) % truth.folds
    networks = (repeats, STUDENTS, 1 + METHODS)
    level = np.sqrt(1 - truth.shared) * rng.normal(size=(*networks, truth.folds))
    level = truth.sd_network * (level + np.sqrt(truth.shared) * rng.normal(size=(*networks, 1)))
    residual = truth.sd_residual * rng.normal(size=(*networks, truth.patients))
    own = truth.sd_patient * _noise(truth.shape, (repeats, STUDENTS, METHODS, truth.patients), rng)
    # Every method of a student is compared with the same baseline network of a fold (index 0).
    shift = (level[:, :, 1:] - level[:, :, :1])[..., fold_of]
    mean = np.full((STUDENTS, METHODS), truth.effect) if effects is None else effects
    differences = mean[..., None] + own + shift + residual[:, :, 1:] - residual[:, :, :1]
    means = [differences[..., fold_of == fold].mean(axis=-1) for fold in range(truth.folds)]
    return Simulated(differences, np.stack(means, axis=-1), mean + shift.mean(axis=-1))


def _noise(shape: str, size: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Mean 0, variance 1: ``normal``, ``skewed`` (exponential) or ``heavy`` (Student, 4 degrees)."""
    if shape == "skewed":
        return rng.exponential(size=size) - 1
    if shape == "heavy":
        return rng.standard_t(4, size=size) / np.sqrt(2)
    return rng.normal(size=size)


@dataclass(frozen=True)
class Coverage:
    """How often each 95 % interval holds a truth."""

    networks: float
    """That over patients, what these very networks would reach."""
    networks_of_method: float
    """That over patients, the method's own effect, which it does not claim to hold."""
    method: float
    """That over folds, the method's own effect."""


def coverage(truth: Truth, repeats: int, resamples: int) -> Coverage:
    """How often the intervals hold what they are to hold."""
    found = simulate(truth, repeats, np.random.default_rng(0))
    # One cell a family: the others share its baseline and would count its luck again.
    low, high = interval(found.differences[:, 0, 0], resamples)
    over = over_folds(found.fold_means[:, 0, 0], truth.test_to_train)
    given, effect = found.given_networks[:, 0, 0], truth.effect
    held = ((low <= given) & (given <= high), (low <= effect) & (effect <= high))
    return Coverage(*(float(h.mean()) for h in (*held, (over.low <= effect) & (effect <= over.high))))


@dataclass(frozen=True)
class Claims:
    """How often a contrast is claimed, and the smallest gains that could have been (medians)."""

    single: float
    """Of one that is the only one named."""
    first_of_six: float
    """Of the first of six, corrected for all."""
    any_of_six: float
    """At least one of six, corrected."""
    any_of_six_early: float
    """At least one of six, were they read after three folds, after four, and so on."""
    smallest_single: float
    smallest_of_six: float


def claims(truth: Truth, repeats: int) -> Claims:
    """What is claimed where the first contrast has the truth's effect, and the other five have none."""
    effects = np.zeros((STUDENTS, METHODS))
    effects[0, 0] = truth.effect
    found = simulate(truth, repeats, np.random.default_rng(0), effects)
    over = over_folds(found.fold_means, truth.test_to_train)
    p = over.p.reshape(repeats, FAMILY)
    claimed = np.array([holm(family) for family in p]) < ALPHA
    smallest = [_median_claim(over, truth.folds, family) for family in (1, FAMILY)]
    # Of a family Holm claims something where the least p, times its size, is small enough.
    parts = [found.fold_means[..., :k] for k in range(MIN_FOLDS, truth.folds + 1)]
    early = [over_folds(part, truth.test_to_train).p.reshape(repeats, FAMILY) for part in parts]
    read = [at.min(axis=1) * FAMILY < ALPHA for at in early]
    rates = (p[:, 0] < ALPHA, claimed[:, 0], claimed.any(axis=1), np.any(read, axis=0))
    return Claims(*(float(rate.mean()) for rate in rates), *smallest)


def _median_claim(over: OverFolds, folds: int, family: int) -> float:
    return float(np.median(smallest_claim(over.error, folds, family)))


SD_NETWORK, GAINS = (0.0, 0.005, 0.01, 0.02), (0.01, 0.02, 0.03, 0.05)


def main(repeats: int = 4000, resamples: int = 999) -> None:
    """Print the tables of docs/statistics.md; some ten minutes."""
    usual = Truth()
    # What folds share where Nadeau and Bengio's variance is exact.
    alike = replace(usual, shared=usual.test_to_train / (1 + usual.test_to_train))
    shapes = ("normal", "heavy", "skewed")
    _head("patients", *(f"covered, {shape} noise" for shape in shapes))
    for patients in (22, 50, 122):
        truths = [replace(usual, patients=patients, shape=shape) for shape in shapes]
        _row(str(patients), *(_rate(coverage(truth, repeats, resamples).networks) for truth in truths))
    patient, fold = "interval over patients", "interval over folds"
    _head("sd of networks", f"{patient}: these networks", f"{patient}: the method", f"{fold}: the method",
          f"{fold}, folds alike")  # fmt: skip
    for sd in SD_NETWORK:
        found = coverage(replace(usual, sd_network=sd), repeats, resamples)
        held = coverage(replace(alike, sd_network=sd), repeats, resamples).method
        _row(str(sd), *map(_rate, (found.networks, found.networks_of_method, found.method, held)))
    kinds = ("single", "in a family of six", "in a family, were it read early")
    _head("sd of networks", *kinds, *(f"{kind}, folds alike" for kind in kinds))
    for sd in SD_NETWORK:
        made = [claims(replace(truth, sd_network=sd), repeats) for truth in (usual, alike)]
        _row(str(sd), *(_rate(r) for c in made for r in (c.single, c.any_of_six, c.any_of_six_early)))
    _head("sd of networks", "named", *(f"true gain {effect}" for effect in GAINS), "smallest gain")
    for sd in SD_NETWORK:
        at = [claims(replace(usual, sd_network=sd, effect=effect), repeats) for effect in GAINS]
        _row(str(sd), "one", *(_rate(c.single) for c in at), f"{100 * at[0].smallest_single:.1f} points")
        _row(
            str(sd),
            "six",
            *(_rate(c.first_of_six) for c in at),
            f"{100 * at[0].smallest_of_six:.1f} points",
        )


def _head(*names: str) -> None:
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")


def _rate(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
