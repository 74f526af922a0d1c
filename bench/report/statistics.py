"""Intervals, tests and when a difference may be claimed: pure functions of arrays.

docs/statistics.md says what each number means and how often it is right on simulated records
(``bench/report/simulation.py``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL, ALPHA = 0.95, 0.05
MARGIN = 0.02
"""Dice that a student may lose on its teacher and still be called as good."""
MIN_SEEDS, MIN_PATIENTS = 3, 10
"""Fewer carry no claim; fewer patients carry no interval either (docs/statistics.md)."""
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
    low, high = _bca((values,), np.mean, resamples)
    return low / UNITS, high / UNITS


def ratio_interval(above: ArrayLike, below: ArrayLike) -> tuple[Floats, Floats]:
    """95 % interval of mean ``above`` / mean ``below`` along the last axis, drawn in pairs."""
    return _bca((above, below), lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis), RESAMPLES)


def signed_rank(values: ArrayLike) -> Floats:
    """Two-sided p of Wilcoxon's signed-rank test along the last axis; 1 where all values are zero."""
    rounded = _whole(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = np.asarray(stats.wilcoxon(rounded, axis=-1).pvalue, dtype=np.float64)
    return np.where((rounded == 0).all(axis=-1), 1.0, p)


def holm(p: ArrayLike) -> Floats:
    """Adjusted p of one family (Holm 1979). NaN stands for a test that wasn't made and doesn't count."""
    from statsmodels.stats.multitest import multipletests

    adjusted = np.array(p, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    if tested.any():
        adjusted[tested] = multipletests(adjusted[tested], method="holm")[1]
    return adjusted


def claimed(p_holm: ArrayLike, per_seed: ArrayLike) -> NDArray[np.bool_]:
    """Whether a difference may be claimed: Holm p < 0.05, at least three seeds, all of one sign.

    Args:
        p_holm: ``(...)``.
        per_seed: the mean difference of each seed, ``(..., seeds)``.
    """
    signs = np.sign(_whole(per_seed))
    agree = (signs != 0).all(axis=-1) & (signs == signs[..., :1]).all(axis=-1)
    return (np.asarray(p_holm) < ALPHA) & agree & (signs.shape[-1] >= MIN_SEEDS)


def _whole(values: ArrayLike) -> Floats:
    return np.round(np.asarray(values, dtype=np.float64) * UNITS)


def _bca(samples: tuple[ArrayLike, ...], statistic: Callable[..., Any], resamples: int) -> tuple:
    rounded = [_whole(sample) for sample in samples]
    if rounded[0].shape[-1] < 2:
        nothing = np.full(rounded[0].shape[:-1], np.nan)
        return nothing, nothing
    n = rounded[0].shape[-1]
    tail = float(stats.norm.sf(np.sqrt(n / (n - 1)) * stats.t.ppf((1 + LEVEL) / 2, n - 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of equal values, which are dealt with below
        result = stats.bootstrap(
            rounded,
            statistic,
            axis=-1,
            paired=len(rounded) > 1,
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, 2_000_000 // max(1, rounded[0].size)),
            confidence_level=1 - 2 * tail,
            method="BCa",
            rng=np.random.default_rng(0),
        )
    plain = np.quantile(result.bootstrap_distribution, (tail, 1 - tail), axis=-1)
    bca = result.confidence_interval
    return tuple(np.where(np.isnan(edge), p, edge) for edge, p in zip(bca, plain, strict=True))
