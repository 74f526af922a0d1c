"""``status`` says what a study does, from its files alone."""

import io
import os

import pytest

from bench.files import lease
from bench.files.atomic import write_json
from bench.study.progress import Progress, read_progress
from bench.watching.status import status_lines

SMALL = "unet-32-64"


@pytest.fixture
def study(simulated):
    """One job of every kind, and the methods' jobs by name."""
    study = simulated.study
    simulated.add(SMALL, "baseline", 0)
    for seed, status, reason in (
        (1, "failed", "out of memory"),
        (2, "blocked", "its teacher has no trained network"),
        (3, "blocked", "its teacher has no trained network"),
        (4, "skipped", "no taps"),
    ):
        job = simulated.job(SMALL, "pm-kd", seed)
        study.plan(job)
        write_json(
            study.path("records", job.id),
            {"id": job.id, "status": status, "reason": reason, "job": job.as_dict()},
        )
    study.plan(simulated.job(SMALL, "baseline", 9))
    return study


def begin(study, job, epoch):
    """What a job writes that has come so far."""
    study.plan(job)
    progress = Progress(io.StringIO(), False, "", study.path("progress", job.id))
    if epoch:
        progress.epoch("train", {"epoch": epoch, "loss": 0.5, "dice_val": 0.25})
        news = read_progress(study.path("progress", job.id))
        write_json(study.path("progress", job.id), news | {"left": 300.0})  # however fast this machine is


def test_jobs_are_counted_and_what_failed_says_why(study):
    first, *lines = status_lines(study)
    assert first == f"{study.root}: 6 jobs: 1 done, 1 waiting, 1 failed, 2 blocked, 1 skipped"
    failed, blocked, skipped = lines
    assert failed.startswith("failed  ")
    assert failed.endswith(f"{SMALL}:pm-kd seed 1: out of memory")
    assert blocked.endswith(f"{SMALL}:pm-kd seed 2 and 1 more: its teacher has no trained network")
    assert skipped.endswith("no taps")


def test_a_running_job_says_its_epoch(study, simulated):
    job = simulated.job(SMALL, "at-kd", 0)
    begin(study, job, 7)
    with lease.acquire(study.root, job.id):
        first, line, *_ = status_lines(study)
        assert "1 running" in first
        assert line.startswith(f"running  {job.id}  {job.label}: train, epoch 7/20, about ")
        assert f"(process {os.getpid()} on " in line


def test_a_job_that_has_only_its_lease_is_starting(study, simulated):
    job = simulated.job(SMALL, "at-kd", 0)
    study.plan(job)
    with lease.acquire(study.root, job.id):
        assert f"{job.label}: starting (process" in status_lines(study)[1]


@pytest.mark.parametrize(("epoch", "said"), [(7, "at epoch 7/20"), (0, "before its first epoch")])
def test_a_job_that_was_killed_waits(study, simulated, epoch, said):
    job = simulated.job(SMALL, "at-kd", 0)
    begin(study, job, epoch)
    first, line, *_ = status_lines(study)
    assert "2 waiting" in first
    assert "running" not in first
    assert line == f"waiting  {job.id}  {job.label}: stopped {said}; the same command goes on"


def test_a_done_job_whose_scoring_failed_says_so(study):
    [done] = [record for record in study.records() if record["status"] == "done"]
    write_json(study.path("records", done["id"]), done | {"failure": "no test image"})
    assert any(line.startswith("done  ") and line.endswith("no test image") for line in status_lines(study))


def test_the_verb_changes_nothing_and_ends_well(study, bench, refused, tmp_path):
    before = {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()}
    result = bench("status", study.root)
    assert result.code == 0
    assert result.out.splitlines() == status_lines(study)
    assert before == {path: path.read_bytes() for path in study.root.rglob("*") if path.is_file()}
    assert "no study.json here" in refused("status", tmp_path)


def test_a_study_without_jobs_says_so(simulated):
    assert status_lines(simulated.study) == [f"{simulated.study.root}: 0 jobs: none planned"]
