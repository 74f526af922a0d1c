"""A busy machine is noticed."""

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
