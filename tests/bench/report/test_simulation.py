"""How often intervals and claims are right where the truth is known."""

import pytest

from bench.report.simulation import Truth, claims, coverage

RELATED = 0.24
"""The part of networks' luck that folds share where Nadeau and Bengio's variance is exact."""


@pytest.mark.parametrize("shape", ["normal", "heavy", "skewed"])
def test_intervals_cover_what_they_say_under_patient_noise(shape):
    """92 to 97 %. 4000 repeats know the rate to ± 0.4 points; the seed is fixed."""
    assert 0.92 <= coverage(Truth(shape=shape), repeats=4000, resamples=299).networks <= 0.97
    assert 0.92 <= coverage(Truth(shape=shape, patients=25), repeats=4000, resamples=499).networks <= 0.97


def test_each_interval_holds_its_own_truth_where_networks_differ():
    """That over patients holds for the networks and not for the method, that over folds for the method."""
    found = coverage(Truth(sd_network=0.01, shared=RELATED), repeats=4000, resamples=299)
    assert 0.92 <= found.networks <= 0.97
    assert found.networks_of_method < 0.75
    assert found.method >= 0.94


@pytest.mark.parametrize("shared", [0.0, RELATED])
@pytest.mark.parametrize("sd", [0.0, 0.005, 0.01])
def test_no_more_than_five_percent_of_families_make_a_false_claim(sd, shared):
    """5 % and two standard errors (1 point) of the simulation itself; one contrast alone likewise."""
    found = claims(Truth(sd_network=sd, shared=shared), repeats=2000)
    assert found.any_of_six <= 0.06
    assert found.single <= 0.06
    assert found.any_of_six_early > found.any_of_six, "so nothing is claimed before all folds are there"


def test_a_clear_gain_is_claimed_and_the_smallest_one_is_what_it_says():
    found = claims(Truth(effect=0.08, sd_network=0.005), repeats=300)
    assert found.first_of_six > 0.9
    near = claims(Truth(effect=found.smallest_of_six, sd_network=0.005), repeats=300)
    assert 0.3 < near.first_of_six < 0.7, "about half of the studies claim the smallest gain"
