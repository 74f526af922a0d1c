"""A busy machine is noticed."""

import pytest

from bench.compute import quiet


def test_the_share_in_use_is_what_is_not_idle(monkeypatch):
    readings = iter(["cpu 100 0 50 800 50 0 0 0 9 9\ncpu0 1", "cpu 160 10 60 900 70 0 0 0 9 9\ncpu0 1"])

    class Stat:
        def is_file(self):
            return True

        def read_text(self):
            return next(readings)

    monkeypatch.setattr(quiet, "Path", lambda path: Stat())
    # 200 ticks went by: 60 + 10 + 10 of work, 100 idle, 20 waiting for a disk.
    assert quiet.share_in_use(0) == 0.4


def test_a_system_that_does_not_say_is_taken_for_quiet(monkeypatch, tmp_path):
    monkeypatch.setattr(quiet, "Path", lambda path: tmp_path / "missing")
    assert quiet.share_in_use(60) == 0.0
    assert not quiet.is_busy()


@pytest.fixture
def states(monkeypatch):
    """Let the machine be busy or not, one look after the other; no time passes while it is waited for."""
    clock = [0.0]

    def call(*busy):
        left = iter(busy)
        monkeypatch.setattr(quiet, "is_busy", lambda: clock.append(clock[-1] + 1) or next(left))
        monkeypatch.setattr(quiet.time, "monotonic", lambda: clock[-1])
        monkeypatch.setattr(quiet.time, "sleep", lambda seconds: None)

    return call


def test_what_is_found_on_a_quiet_machine_counts_at_once(states, told):
    states(False, False)
    assert quiet.tried("x", lambda: 7) == quiet.Tried([7], "")
    assert told == []


def test_it_is_measured_again_once_the_machine_is_quiet(states, told):
    states(False, True, True, True, False, False)  # busy after the first, then for two seconds more
    found = iter([1, 2])
    assert quiet.tried("x", lambda: next(found)) == quiet.Tried([1, 2], "")
    assert told == [
        "x: the machine is busy with other things; measuring again, 2 of 3 times at most",
        "waiting for a quiet machine, 10 s at most",
    ]


def test_waiting_and_trials_are_bounded(states):
    states(*[True] * 100)
    assert quiet.tried("x", lambda: 7) == quiet.Tried([7, 7, 7], quiet.OTHERS)
    assert quiet.time.monotonic() <= 2 * quiet.WAIT_SECONDS + 4


def test_a_result_that_can_not_be_is_measured_again(states):
    states(*[False] * 4)
    found = iter([-1, 1])
    tried = quiet.tried("x", lambda: next(found), lambda value: "negative" if value < 0 else "")
    assert tried == quiet.Tried([-1, 1], "")


def test_uneven_repeats():
    assert quiet.uneven([1.0, 1.4, 1.5])
    assert not quiet.uneven([1.0, 1.1, 9.0]), "one that was disturbed says nothing of the others"
