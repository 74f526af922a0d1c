"""fp32 or bf16: what is faster here, asked once, whatever the processor says of itself."""

import json

import pytest
from samples import a_setting

from bench.compute import quiet
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.scoring import precision

MATRIX = {"teacher": "unet-4-8", "students": ["unet-2"], "image_size": 16, "updates": 80}


@pytest.fixture
def begin(bench, tmp_path, monkeypatch):
    """Begin a study without running its jobs; ``times`` stands in for the trials, one after the other."""
    path = tmp_path / "m.yaml"
    path.write_text(json.dumps(MATRIX | {"workers": 1}))
    monkeypatch.setattr(precision, "MEASURE_FROM_FLOPS", 0)
    monkeypatch.setattr(quiet, "is_busy", lambda: False)
    monkeypatch.setattr(quiet, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)

    def call(*arguments, times=()):
        trials = iter(times)
        monkeypatch.setattr(precision, "in_own_process", lambda *_: next(trials))
        result = bench("--matrix", path, "--results", tmp_path / "s", "--device", "cpu", *arguments)
        assert result.code == 0, result.err
        assert next(trials, "all used") == "all used"
        return result.out

    call.settings = lambda: json.loads((tmp_path / "s" / "study.json").read_text())
    return call


def trial(fp32, bf16):
    """Seconds of a step of either network, the same in all rounds but the first."""
    return {
        ("unet-4-8", "fp32"): [fp32, fp32, fp32], ("unet-4-8", "bf16"): [bf16, bf16, bf16],
        ("unet-2", "fp32"): [0.5, 0.5, 0.5], ("unet-2", "bf16"): [0.5, 0.5, 0.5],
    }  # fmt: skip


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(3.0, 2.0, "bf16"), (2.0, 3.0, "fp32")])
def test_the_faster_one_is_taken_and_both_figures_are_said(begin, fp32, bf16, chosen):
    out = begin(times=[trial(fp32, bf16)])
    # 20 epochs of 16 steps of 4 of the 64 slices: the teacher's job, four of the student's.
    spent = {name: 320 * (own + 4 * 0.5) for name, own in (("fp32", fp32), ("bf16", bf16))}
    said = {name: f"{seconds // 60:.0f}:{seconds % 60:02.0f}" for name, seconds in spent.items()}
    line = f"precision: the steps of all jobs take {said['fp32']} in fp32, {said['bf16']} in bf16"
    assert line in out
    assert f"(uncompiled, measured): {chosen} in this study" in out
    settings = begin.settings()
    assert settings["precision"] == chosen
    assert settings["measured_precision"] == {**spent, "networks": ["unet-2", "unet-4-8"], "busy": False}
    assert "in this study" not in begin(), "it is kept"
    assert begin.settings() == settings


def test_a_disturbed_trial_is_repeated_and_the_quiet_one_counts(begin):
    busy = trial(9.0, 2.0) | {("unet-4-8", "fp32"): [1.0, 9.0, 9.0]}
    out = begin(times=[busy, trial(1.0, 2.0)])
    assert "(uncompiled, measured): fp32" in out


def test_a_machine_that_stays_busy_is_said_after_a_bound(begin):
    busy = trial(1.0, 2.0) | {("unet-2", "fp32"): [0.5, 5.0, 5.0]}
    out = begin(times=[busy] * quiet.TRIALS)
    assert "(uncompiled, measured, repeats of the same differ by more than 1.3): fp32" in out
    assert begin.settings()["measured_precision"]["busy"] is True


def test_what_others_do_meanwhile_is_said_though_the_rounds_are_even(begin, monkeypatch):
    # Before the first trial, after the second, not in the third.
    states = iter([True, False, True, False, False])
    monkeypatch.setattr(quiet, "is_busy", lambda: next(states))
    out = begin(times=[trial(1.0, 2.0)] * 3)
    again = "precision: the machine is busy with other things; measuring again, {} of 3 times at most"
    assert [line for line in out.splitlines() if "busy" in line] == [again.format(2), again.format(3)]
    assert begin.settings()["measured_precision"]["busy"] is False


def test_a_precision_that_does_not_come_through_is_not_taken(begin):
    assert "did not come through: fp32" in begin(times=[None])
    assert begin.settings()["precision"] == "fp32"
    assert "measured_precision" not in begin.settings()


def test_a_wish_is_not_measured(begin):
    begin("--precision", "bf16")
    assert begin.settings()["precision"] == "bf16"


def test_a_dry_run_says_what_it_assumes(begin):
    out = begin("--dry-run")
    assert "the ids assume fp32, for a run measures that when the study begins; --precision would" in out


def test_little_work_is_not_measured(begin, monkeypatch):
    monkeypatch.setattr(precision, "MEASURE_FROM_FLOPS", 50e12)
    begin()
    assert begin.settings()["precision"] == "fp32"


@pytest.mark.parametrize(("dims", "size"), [(2, {}), (3, {"patch": (16, 16, 16)})])
def test_the_trial_itself(dims, size):
    setting = a_setting(image_size=16, spatial_dims=dims, **size)
    jobs = {cell.job.architecture: cell.job for cell in cells(parse_matrix(MATRIX, "x"), setting)}
    times = precision._times(list(jobs.values()), "cpu", 1)
    assert set(times) == {(name, kind) for name in ("unet-4-8", "unet-2") for kind in precision.PRECISIONS}
    assert all(len(own) == precision.ROUNDS and min(own) > 0 for own in times.values())


def test_it_ends_in_time(monkeypatch):
    monkeypatch.setattr(precision, "SECONDS", 0.0)
    jobs = [cell.job for cell in cells(parse_matrix(MATRIX, "x"), a_setting(image_size=16))]
    times = precision._times(jobs[:2], "cpu", 1)
    assert {key: len(own) for key, own in times.items()} == {
        ("unet-4-8", "fp32"): 1,
        ("unet-4-8", "bf16"): 1,
    }
