"""What a dry run predicts: time, disk and memory, against what jobs then take."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import blank_job

from bench.compute.memory import peak_mb, reset_peak
from bench.compute.processes import in_own_process
from bench.compute.runtime import Runtime
from bench.data import phantom
from bench.data.splits import split_by_patient
from bench.planning.estimates import training_bytes, training_flops, weight_bytes
from bench.planning.session import Session
from bench.protocol import PROTOCOL_VERSION
from bench.scoring import forecast as forecasts
from bench.scoring.forecast import Forecast, forecast, human_time, step_seconds
from bench.scoring.trial import step_on_noise
from bench.study.store import Study
from bench.training.job_parts import network

TEACHER = blank_job(architecture="unet-8-16", method="baseline", image_size=32, seg_loss="dice-bce")
STUDENT = replace(TEACHER, architecture="unet-4-8")
TAUGHT = replace(STUDENT, method="pm-kd", parameters=(("temperature", 4.0),), teachers=(TEACHER.id,))
JOBS = [TEACHER, STUDENT, TAUGHT]


@pytest.fixture
def session(tmp_path):
    dataset = phantom.generate(patients=10, slices=2, side=32)
    settings = {
        "protocol": PROTOCOL_VERSION, "dataset": "phantom", "device": "cpu", "threads": 2, "workers": 1,
        "precision": "fp32", "compile": False,
    }  # fmt: skip
    split = split_by_patient(dataset)
    return Session(Study(tmp_path / "s"), dataset, (split,), torch.device("cpu"), settings)


def steps_take(monkeypatch, **seconds):
    monkeypatch.setattr("bench.compute.quiet.is_busy", lambda: False)
    monkeypatch.setattr(forecasts, "in_own_process", lambda *_: seconds)


def test_time_by_hand(session, monkeypatch):
    steps_take(monkeypatch, **{"unet-4-8": 0.1, "unet-8-16": 0.3})
    made = forecast(session, JOBS, elsewhere=False, no_test=False)
    samples, split = session.prepared_for(TEACHER).samples, session.split
    # 500 updates at least; 20 times the validation cases, each a third of a sample that is learned from.
    steps = 500 + 20 * samples * len(split.val) / len(split.train) / 16 / 3
    teacher, student = (step * steps + forecasts.JOB_SECONDS for step in (0.3, 0.1))
    assert made.seconds == pytest.approx(teacher + teacher / 3 + 2 * student)
    at_once = replace(session, settings=session.settings | {"workers": 2, "threads": 1})
    jobs = [replace(TEACHER, threads=1), replace(STUDENT, threads=1)]
    assert forecast(at_once, jobs, False, False).seconds == pytest.approx(teacher)


def test_new_weights_in_a_pruned_shape_take_two_rounds(session, monkeypatch):
    steps_take(monkeypatch, **{"unet-4-8": 0.1})
    pruned = {
        init: replace(
            STUDENT, method="prune", parameters=(("init", init), ("ratio", 0.5)), source="x", teachers=()
        )
        for init in ("source", "fresh")
    }
    took = {
        init: forecast(session, [job], False, False).seconds - forecasts.JOB_SECONDS
        for init, job in pruned.items()
    }
    assert took["fresh"] == pytest.approx(2 * took["source"])
    monkeypatch.setattr(forecasts, "LITTLE_FLOPS", 0.0)
    both = [replace(TEACHER, teachers=()), pruned["fresh"]]
    again = forecast(session, both, False, False).seconds - 2 * forecasts.JOB_SECONDS
    ratio = training_flops(TEACHER, 1) / training_flops(pruned["source"], 1)
    assert again == pytest.approx((ratio + 2) * took["source"])


def test_what_was_not_measured_follows_from_flops(session, monkeypatch):
    monkeypatch.setattr(forecasts, "LITTLE_FLOPS", 0.0)
    steps_take(monkeypatch, **{"unet-4-8": 0.1})
    alone = forecast(session, [STUDENT], False, False).seconds
    made = forecast(session, [TEACHER, STUDENT], False, False)
    ratio = training_flops(TEACHER, 1) / training_flops(STUDENT, 1)
    spare = forecasts.JOB_SECONDS
    assert made.seconds == pytest.approx((1 + ratio) * (alone - spare) + 2 * spare)
    assert "a step of 1 of 2 networks" in made.told_by
    monkeypatch.setattr(forecasts, "LITTLE_FLOPS", 1e12)  # of a tiny step most is overhead, not FLOPs
    assert forecast(session, [TEACHER, STUDENT], False, False).seconds < made.seconds


@pytest.mark.parametrize(("elsewhere", "said"), [(True, "other machines"), (False, "did not come through")])
def test_where_nothing_tells_the_time_is_not_known(session, monkeypatch, elsewhere, said):
    steps_take(monkeypatch)
    line = forecast(session, JOBS, elsewhere, False).lines()[0]
    assert "predicted time: not known" in line
    assert said in line


def test_done_jobs_tell_time_and_memory(session, monkeypatch):
    costs = {
        "seconds": {"training": 90.0, "evaluation": 6.0, "recording": 1000.0},
        "peak_memory_train_mb": 700.0,
    }
    monkeypatch.setattr(
        Study,
        "records",
        lambda study: [{"status": "done", "job": {**STUDENT.as_dict(), "seed": 5}, "cost": costs}],
    )
    session.study.plan(TEACHER)  # and done
    made = forecast(session, [TAUGHT], elsewhere=True, no_test=False)
    assert made.seconds == pytest.approx(96 + forecasts.JOB_SECONDS)
    assert made.job_bytes == 700e6
    assert "from the study's records" in made.told_by


def test_bytes(session, monkeypatch):
    steps_take(monkeypatch, **{"unet-4-8": 0.1, "unet-8-16": 0.3})
    made = forecast(session, JOBS, elsewhere=False, no_test=False)
    weights = [sum(v.numel() * v.element_size() for v in network(j).state_dict().values()) for j in JOBS]
    assert made.weight_bytes == sum(weights)
    masks = session.split.indices(session.dataset, "test")
    assert made.prediction_bytes == 3 * len(masks) * 32 * 32 // 8
    # pm-kd keeps a probability map: 16 bits a pixel, and a byte, of every sample of every update.
    assert made.target_bytes == 500 * 16 * (2 * 32 * 32 + 1)


def measured_peak(job):
    """Bytes that training steps take above the libraries."""
    torch.set_num_threads(1)
    small = replace(job, architecture="unet-2", image_size=16)
    step_on_noise(small, Runtime(torch.device("cpu"), "fp32", 1, False), 16)()
    before = reset_peak()
    step_on_noise(job, Runtime(torch.device("cpu"), "fp32", 1, False), 16)()
    return 1e6 * (peak_mb() - before)


@pytest.mark.parametrize("network", ["unet-32-64-128", "unet-64-128-256-512"])
def test_memory_is_near_what_training_takes(network):
    job = replace(TEACHER, architecture=network, image_size=64)
    found = in_own_process(measured_peak, job)
    assert 0.6 * found < training_bytes(job) < 1.6 * found


def test_memory_follows_batches_and_weights():
    job = replace(TEACHER, architecture="unet-32-64", image_size=64)
    parts = [training_bytes(replace(job, micro_batch=size)) - 4 * weight_bytes(job) for size in (4, 8, 16)]
    assert np.ptp(np.array(parts) / [4, 8, 16]) == 0


def test_the_trial_itself_ends_in_time():
    light, heavy = replace(STUDENT, threads=1), replace(TEACHER, architecture="unet-64-128", threads=1)
    assert all(0 < seconds < math.inf for seconds in step_seconds([light, heavy], "cpu").values())
    assert set(step_seconds([light, heavy], "cpu", budget=0.0)) == {"unet-4-8"}


def test_the_heaviest_at_a_time_are_added_up(session):
    session.settings.update({"workers": 2, "threads": 1})
    assert forecasts._at_once(session, [(5e8, 1), (7e8, 1), (6e8, 1)]) == 13e8
    assert forecasts._at_once(session, [(5e8, 1), (15e8, 2), (6e8, 1)]) == 15e8, "a teacher alone"


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (400, "6.7 min"), (9000, "2.5 h"), (400_000, "4.6 days")]
)
def test_time_in_words(seconds, said):
    assert human_time(seconds) == said


def test_lines_say_that_they_are_estimates():
    made = Forecast(5, 2, 200.0, "an estimate", 48_000_000, 2_000_000, 200_000, "unet-8", 6e8, 12e8)
    assert made.lines() == [
        "predicted time: about 3.3 min for 5 jobs, 2 at a time (an estimate)",
        "predicted targets: 48 MB; weights: 2 MB; predictions: 200 kB at most",
        "predicted memory: 600 MB for unet-8, 1.2 GB for all at a time",
    ]
