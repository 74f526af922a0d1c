"""How often the intervals and claims are right, on simulated studies whose truth is known.

``python -m bench.report.simulation`` prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace

import numpy as np

from bench.report.statistics import Floats, claimed, holm, interval, signed_rank

STUDENTS, METHODS = 3, 3
"""A family is every method on every student, each against its student's baseline."""


@dataclass(frozen=True)
class Truth:
    """One difference in Dice between a method and its baseline, and what blurs it.

    ``effect`` is its mean over patients and networks. A patient gains more or less than that, the same in
    every seed: standard deviation ``sd_patient``, of the given ``shape``. Each trained network (the
    baseline's too) is better or worse by ``sd_seed`` for all patients, and by ``sd_residual`` for each.
    """

    effect: float = 0.0
    sd_patient: float = 0.03
    sd_seed: float = 0.0
    sd_residual: float = 0.02
    shape: str = "normal"
    patients: int = 22
    seeds: int = 3


@dataclass(frozen=True)
class Simulated:
    """Families of differences, and what their networks would reach on endless patients."""

    differences: Floats
    """``(repeats, students, methods, seeds, patients)``."""
    given_networks: Floats
    """``(repeats, students, methods)``: the true difference of these very networks, seeds averaged."""


def simulate(truth: Truth, repeats: int, rng: np.random.Generator) -> Simulated:
    """Differences as a study of three students and three methods would find them."""
    families = (repeats, STUDENTS, METHODS)
    own = truth.sd_patient * _noise(truth.shape, (*families, 1, truth.patients), rng)
    networks = (repeats, STUDENTS, 1 + METHODS, truth.seeds)
    level = truth.sd_seed * rng.normal(size=networks)
    residual = truth.sd_residual * rng.normal(size=(*networks, truth.patients))
    # Every method of a student is compared with the same baseline networks (index 0).
    shift = level[:, :, 1:] - level[:, :, :1]
    rest = residual[:, :, 1:] - residual[:, :, :1]
    differences = truth.effect + own + shift[..., None] + rest
    return Simulated(differences, truth.effect + shift.mean(axis=-1))


def _noise(shape: str, size: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Mean 0, variance 1: ``normal``, ``skewed`` (exponential) or ``heavy`` (Student, 4 degrees)."""
    if shape == "skewed":
        return rng.exponential(size=size) - 1
    if shape == "heavy":
        return rng.standard_t(4, size=size) / np.sqrt(2)
    return rng.normal(size=size)


def coverage(truth: Truth, repeats: int, resamples: int, seed: int = 0) -> tuple[float, float]:
    """How often the 95 % interval holds the truth: of the given networks, and of the method at large."""
    found = simulate(truth, repeats, np.random.default_rng(seed))
    # One cell a family: the others share its baseline and would count its luck again.
    low, high = interval(found.differences[:, 0, 0].mean(axis=-2), resamples)
    given = found.given_networks[:, 0, 0]
    holds_given = (low <= given) & (given <= high)
    holds_method = (low <= truth.effect) & (truth.effect <= high)
    return float(holds_given.mean()), float(holds_method.mean())


def claims(truth: Truth, repeats: int, seed: int = 0) -> tuple[float, float]:
    """How often a difference is claimed, and how often any of a family of nine is."""
    found = simulate(truth, repeats, np.random.default_rng(seed))
    p = signed_rank(found.differences.mean(axis=-2)).reshape(repeats, -1)
    gc.freeze()  # statsmodels collects garbage in every call: 40 ms each unless there is little to look at
    adjusted = np.array([holm(family) for family in p]).reshape(repeats, STUDENTS, METHODS)
    gc.unfreeze()
    made = claimed(adjusted, found.differences.mean(axis=-1))
    return float(made.mean()), float(made.any(axis=(1, 2)).mean())


def main(repeats: int = 4000, resamples: int = 999) -> None:
    """Print the tables of docs/statistics.md; a minute or two."""
    usual = Truth()
    shapes = ("normal", "heavy", "skewed")
    print(f"| patients | {' | '.join(f'covered, {shape} noise' for shape in shapes)} |")
    print("|---|---|---|---|")
    for patients in (10, 15, 22, 50):
        truths = [replace(usual, patients=patients, shape=shape) for shape in shapes]
        _row(str(patients), *(coverage(truth, repeats, resamples)[0] for truth in truths))
    print("\n| sd over seeds | covers these networks | covers the method | false claims | in a family |")
    print("|---|---|---|---|---|")
    for sd in (0.0, 0.005, 0.01, 0.02):
        truth = replace(usual, sd_seed=sd)
        _row(str(sd), *coverage(truth, repeats, resamples), *claims(truth, repeats))
    print("\n| true gain | claimed | claimed, sd over seeds 0.01 |\n|---|---|---|")
    for effect in (0.01, 0.02, 0.03, 0.04):
        truth = replace(usual, effect=effect)
        _row(str(effect), claims(truth, repeats)[0], claims(replace(truth, sd_seed=0.01), repeats)[0])


def _row(name: str, *rates: float) -> None:
    print(f"| {name} | " + " | ".join(f"{100 * rate:.1f} %" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
