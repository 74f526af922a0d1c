"""Latencies of a busy machine: measured once more, and said to be too long where that did not help."""

import pytest

from bench.compute import quiet
from bench.scoring import latency


@pytest.fixture
def measured(monkeypatch):
    """Measure on a machine that is busy or not, one look after the other, with these latencies."""

    def call(busy, trials, quiet_before=True):
        looks, left = iter(busy), iter(trials)
        monkeypatch.setattr(quiet, "is_busy", lambda: next(looks))
        monkeypatch.setattr(quiet, "WAIT_SECONDS", 0.0)
        monkeypatch.setattr(latency, "latencies", lambda *_, **__: next(left))
        found = latency.quiet_latencies([], 1, "cpu", quiet_before)
        assert not list(left), "no trial is left"
        return found

    return call


SHORT, LONG = [[1.0, 1.1], [2.0, 2.1]], [[3.0, 1.0], [4.0, 5.0]]


def test_a_quiet_machine_is_asked_once(measured, told):
    assert measured([False, False], [SHORT]) == (SHORT, False)
    assert told == []


def test_the_quiet_trial_counts(measured):
    assert measured([True, False, False], [SHORT, LONG]) == (LONG, False)


def test_where_waiting_has_not_helped_it_is_measured_once(measured):
    assert measured([True, True], [LONG], quiet_before=False) == (LONG, True)


def test_a_machine_that_stays_busy_is_said(measured, capsys):
    assert measured([True, False, True], [SHORT, LONG]) == (SHORT, True)
    assert "latencies are too long, for the machine is busy with other things" in capsys.readouterr().err
