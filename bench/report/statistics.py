"""Intervals, tests and when a difference may be claimed: pure functions of arrays.

docs/statistics.md says what each number means and how often it is right on simulated records
(``bench/report/simulation.py``).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bench.protocol import FEW_PATIENTS

LEVEL, ALPHA = 0.95, 0.05
MARGIN = 0.02
"""Dice that a student may lose on its teacher and still be called as good."""
MIN_GAP = 0.02
"""Dice between plain student and teacher below which there is no gap that could be closed."""
MIN_PATIENTS = FEW_PATIENTS
"""Fewer patients carry no interval for these networks."""
RESAMPLES = 9999
UNITS = 1e12
"""Values are whole numbers of 1/UNITS, so that 0.3 − 0.2 and 0.2 − 0.1 are equal, and sums are exact."""

Floats = NDArray[np.float64]


def interval(values: ArrayLike, resamples: int = RESAMPLES) -> tuple[Floats, Floats]:
    """95 % interval of the mean along the last axis: BCa bootstrap (Efron 1987), always the same draws.

    Its level is raised for few values as Hesterberg (2015, "expanded") does for percentiles, since plain
    BCa covers too little at 22 patients (docs/statistics.md). Where all values are equal, BCa is undefined
    and the interval is that value. NaN for fewer than two.
    """
    low, high = _bca((values,), lambda mean: mean, resamples)
    return low / UNITS, high / UNITS


def over_patients(means: ArrayLike) -> tuple[float, float]:
    """The ``interval`` of patients' means; NaN where they are fewer than ``MIN_PATIENTS``."""
    values = np.asarray(means, dtype=np.float64)
    if len(values) < MIN_PATIENTS:
        return np.nan, np.nan
    low, high = interval(values)
    return float(low), float(high)


def ratio_interval(above: ArrayLike, below: ArrayLike) -> tuple[Floats, Floats]:
    """95 % interval of mean ``above`` / mean ``below`` along the last axis, drawn in pairs."""
    return _bca((above, below), lambda a, b: a / b, RESAMPLES)


class OverFolds(NamedTuple):
    """The mean of fold means with its standard error, 95 % interval and two-sided p."""

    mean: Floats
    error: Floats
    low: Floats
    high: Floats
    p: Floats


def over_folds(means: ArrayLike, test_to_train: float) -> OverFolds:
    """What fold means along the last axis say of the method: t with folds − 1 degrees.

    Folds share most of their training patients, so their means vary less than those of new studies would.
    Nadeau and Bengio (2003) correct the variance of the mean: (1/K + n_test/n_train) · s². NaN for fewer
    than two folds.

    Args:
        means: ``(..., folds)``.
        test_to_train: tested patients of a fold divided by training patients of a fold.
    """
    rounded = _whole(means)
    folds = rounded.shape[-1]
    mean = rounded.mean(axis=-1) / UNITS
    if folds < 2:
        nothing = np.full(mean.shape, np.nan)
        return OverFolds(mean, nothing, nothing, nothing, nothing)
    error = np.sqrt(1 / folds + test_to_train) * rounded.std(axis=-1, ddof=1) / UNITS
    reach = stats.t.ppf((1 + LEVEL) / 2, folds - 1) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean) / error, folds - 1)
    return OverFolds(mean, error, mean - reach, mean + reach, np.where(mean == 0, 1.0, p)[()])


def smallest_claim(error: ArrayLike, folds: int, family: int) -> Floats:
    """The smallest difference that is claimed whatever its family holds: t(1 − α/(2m), K − 1) errors."""
    return np.asarray(stats.t.ppf(1 - ALPHA / (2 * family), folds - 1) * np.asarray(error))


def holm(p: ArrayLike, family: int = 0) -> Floats:
    """Adjusted p of one family (Holm 1979). NaN stands for a test that wasn't made and doesn't count.

    Where the ``family`` is larger than the tests that were made, those that are missing count as tests that
    found nothing: what is claimed then does not depend on what is finished.
    """
    adjusted = np.array(p, dtype=np.float64)
    order = np.argsort(adjusted)[: int((~np.isnan(adjusted)).sum())]  # NaN comes last
    as_strict = max(len(order), family) - np.arange(len(order))
    adjusted[order] = np.maximum.accumulate(adjusted[order] * as_strict).clip(max=1.0)
    return adjusted


def _whole(values: ArrayLike) -> Floats:
    return np.round(np.asarray(values, dtype=np.float64) * UNITS)


@functools.lru_cache(maxsize=8)
def _draws(n: int, resamples: int) -> Floats:
    """How often each of ``n`` values is in each resample, ``(n, resamples)``: those that scipy draws."""
    drawn = np.random.default_rng(0).integers(0, n, (resamples, n))
    places = drawn + n * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=resamples * n).reshape(resamples, n).T.astype(np.float64)


def _bca(samples: tuple[ArrayLike, ...], of_means: Callable[..., Any], resamples: int) -> tuple:
    """The interval of a function of the samples' means.

    Means of resamples come from the draws' counts, which are the same for all samples of a size. Sums are
    exact, so these are to the bit the means of what was drawn.
    """
    rounded = [_whole(sample) for sample in samples]
    n = rounded[0].shape[-1]
    if n < 2:
        nothing = np.full(rounded[0].shape[:-1], np.nan)
        return nothing, nothing
    tail = float(stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns of equal values, which are dealt with below
        drawn = of_means(*(sample @ _draws(n, resamples) / n for sample in rounded))
        result = stats.bootstrap(
            rounded,
            lambda *samples, axis: of_means(*(sample.mean(axis=axis) for sample in samples)),
            axis=-1,
            paired=len(rounded) > 1,
            vectorized=True,
            n_resamples=0,
            bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
            confidence_level=1 - 2 * tail,
            method="BCa",
        )
    plain = np.quantile(drawn, (tail, 1 - tail), axis=-1)
    bca = result.confidence_interval
    return tuple(np.where(np.isnan(edge), p, edge) for edge, p in zip(bca, plain, strict=True))
