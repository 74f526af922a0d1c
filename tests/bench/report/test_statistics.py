"""Intervals and tests, against other ways to compute them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, norm, t, ttest_1samp

from bench.report.statistics import (
    ALPHA,
    UNITS,
    holm,
    interval,
    over_folds,
    ratio_interval,
    smallest_claim,
)


def test_the_interval_is_efrons():
    """BCa by its formulas (Efron 1987), with other draws: the edges agree up to the draws."""
    values = np.random.default_rng(3).exponential(size=22)
    draws = np.random.default_rng(4).choice(values, size=(100_000, 22)).mean(axis=1)
    z0 = norm.ppf((draws < values.mean()).mean())
    apart = values.mean() - np.array([np.delete(values, k).mean() for k in range(22)])
    a = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    expanded = norm.cdf(np.sqrt(22 / 21) * t.ppf([0.025, 0.975], 21))  # Hesterberg 2015
    z = z0 + norm.ppf(expanded)
    expected = np.quantile(draws, norm.cdf(z0 + z / (1 - a * z)))
    assert interval(values) == pytest.approx(expected, abs=0.03 * np.ptp(expected))


def test_resamples_are_scipys_to_the_bit():
    """Counted once for all samples of a size, not drawn anew for each."""
    above, below = np.round(np.random.default_rng(5).normal(0.1, 0.02, size=(2, 3, 22)), 6)
    found = (*interval(above), *ratio_interval(above, below))
    level = 2 * norm.cdf(np.sqrt(22 / 21) * t.ppf(0.975, 21)) - 1
    how = {"axis": -1, "n_resamples": 9999, "confidence_level": level, "vectorized": True}
    data = [np.round(values * UNITS) for values in (above, below)]
    mean = bootstrap(data[:1], np.mean, **how, rng=np.random.default_rng(0)).confidence_interval
    ratio = bootstrap(
        data, lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis), **how, paired=True,
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    expected = (mean.low / UNITS, mean.high / UNITS, ratio.low, ratio.high)
    assert np.array_equal(found, expected)


FOLDS = np.array([0.021, 0.013, 0.034, 0.008, 0.019])


def test_the_interval_over_folds_is_nadeau_and_bengios():
    """Written out: 24.4 of 122 patients tested a fold, 78 trained on."""
    mean = FOLDS.sum() / 5
    variance = ((FOLDS - mean) ** 2).sum() / 4
    error = math.sqrt((1 / 5 + 24.4 / 78) * variance)
    found = over_folds(FOLDS, 24.4 / 78)
    assert found.mean == pytest.approx(mean)
    assert found.error == pytest.approx(error)
    reach = 2.776445105 * error  # the 97.5 % point of Student's t with 4 degrees, from a table
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach))
    assert found.p == pytest.approx(2 * t(4).sf(mean / error))
    assert smallest_claim(found.error, 5, 6) == pytest.approx(4.8510 * error, rel=1e-4), "99.583 % point"


def test_without_a_correction_it_is_the_paired_t_test():
    assert over_folds(FOLDS, 0.0).p == pytest.approx(ttest_1samp(FOLDS, 0).pvalue)


@given(
    st.lists(st.integers(-300, 300), min_size=3, max_size=8),
    st.integers(-300, 300),
    st.floats(0, 1),
    st.randoms(),
)
def test_the_interval_over_folds_moves_with_them_whatever_their_order(thousandths, shift, ratio, random):
    values = np.array(thousandths) / 1000
    found, moved = over_folds(values, ratio), over_folds(values + shift / 1000, ratio)
    ends = np.array([found.low, found.high]) + shift / 1000
    assert [moved.low, moved.high] == pytest.approx(list(ends), abs=1e-9)
    random.shuffle(thousandths)
    assert over_folds(np.array(thousandths) / 1000, ratio) == pytest.approx(found, abs=1e-9)


@given(st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=8), st.integers(1, 6))
def test_what_exceeds_the_smallest_gain_is_claimed_whatever_else_is_named(values, family):
    found = over_folds(values, 0.3)
    smallest = smallest_claim(found.error, len(values), family)
    assume(found.error > 1e-6 and abs(found.mean - smallest) > 1e-9)
    first_step = bool(found.p * family < ALPHA)
    assert first_step == bool(abs(found.mean) > smallest)


def test_folds_that_say_the_same_leave_no_doubt_and_one_fold_says_nothing():
    assert over_folds([0.0, 0.0, 0.0], 0.3).p == 1
    assert over_folds([0.1, 0.1, 0.1], 0.3).p == 0
    assert np.isnan(over_folds([0.1], 0.3).p)
    assert np.isnan(over_folds([0.1], 0.3).low)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with_gap = holm([0.01, np.nan, 0.03])
    assert with_gap[[0, 2]] == pytest.approx([0.02, 0.03])
    assert math.isnan(with_gap[1])


@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 10))
def test_holm_as_he_wrote_it_down(p, family):
    """Least first: each is rejected while its p, times the number of those left, is small enough."""
    size = max(len(p), family)
    for level in (0.001, 0.05, 0.3):
        left, rejected = size, set()
        for place in sorted(range(len(p)), key=p.__getitem__):
            if p[place] * left > level:
                break
            rejected.add(place)
            left -= 1
        assert set(np.flatnonzero(holm(p, family) <= level)) == rejected


def test_tests_that_were_not_made_yet_count_in_a_named_family():
    assert holm([0.01, np.nan], family=6)[0] == pytest.approx(0.06)
    assert holm([0.01, 0.02], family=2) == pytest.approx(holm([0.01, 0.02]))
    assert len(holm([], family=6)) == 0


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.3])
def test_equal_differences_have_an_interval_without_width(constant):
    """0.3 − 0.2 and 0.2 − 0.1 differ in the last bit; that is no spread."""
    values = np.full(12, constant) + np.array([0.0, 1e-17] * 6)
    assert interval(values) == pytest.approx((constant, constant), abs=1e-9)
    assert over_folds(values, 0.3).p == (1 if constant == 0 else 0)


def test_the_share_of_a_gap_is_the_ratio_of_means():
    gap = np.random.default_rng(0).normal(0.1, 0.02, size=22)
    low, high = ratio_interval(gap / 2, gap)
    assert (low, high) == pytest.approx((0.5, 0.5))
    low, high = ratio_interval(gap / 2 + np.random.default_rng(1).normal(0, 0.02, size=22), gap)
    assert low < 0.5 < high


@given(st.lists(st.integers(-1000, 1000), min_size=10, max_size=25), st.integers(-1000, 1000))
@settings(max_examples=25, deadline=None)
def test_intervals_move_with_the_values(thousandths, shift):
    values = np.array(thousandths) / 1000
    low, high = interval(values, resamples=199)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    moved = interval(values + shift / 1000, resamples=199)
    assert moved == pytest.approx((low + shift / 1000, high + shift / 1000), abs=1e-9)
