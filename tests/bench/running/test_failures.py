"""A job that goes wrong leaves a record, the others go on, and ``--retry-failed`` runs it again."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import broken_jobs
import pytest
import torch

import architectures
import methods
from bench.commands import run_matrix
from bench.errors import UserError
from bench.files import lease
from bench.planning.estimates import Probe
from bench.planning.options import Options
from bench.running import failures
from bench.running.executors import local
from bench.study.store import Study, failure
from bench.training.loop import Diverged

KINDS = ("baseline", "pm-kd", "raises", "memory", "diverges", "killed", "exits")


@pytest.fixture
def run(tmp_path, monkeypatch, told, capsys):
    """Run the matrix of broken jobs, each in its process; gives the exit code and what is said."""
    path = tmp_path / "m.yaml"
    content = {
        "teacher": "unborn",
        "students": ["unet-2"],
        "methods": KINDS,
        "image_size": 16,
        "updates": 80,
        "workers": 2,
    }
    path.write_text(json.dumps(content))

    def call(**changes) -> tuple[int, str]:
        told.clear()
        capsys.readouterr()
        options = Options(matrix=str(path), results=tmp_path / "study", no_test=True, device="cpu")
        code = run_matrix(replace(options, **changes))
        return code, "\n".join([*told, capsys.readouterr().out])

    call.study = Study(tmp_path / "study")
    for name, broken in broken_jobs.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, broken)
    monkeypatch.setattr(architectures, "FAMILIES", (*architectures.FAMILIES, broken_jobs.FAMILY))
    for room in ("chains", "cells"):
        found = Probe(frozenset({("encoder", 1)}))
        monkeypatch.setattr(f"bench.planning.{room}.probe", lambda *_, found=found: found)
    monkeypatch.setattr("bench.commands.forecast", lambda *_: SimpleNamespace(lines=list))
    monkeypatch.setattr("bench.planning.chains.training_flops", lambda *_: 0)
    for trial in ("ask_precision", "fill_machine"):
        monkeypatch.setattr(f"bench.running.plan.{trial}", lambda session, *_: session)
    monkeypatch.setattr("bench.commands.run_job", broken_jobs.run_job)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    return call


def records(study: Study) -> dict[str, dict]:
    return {f"{r['job']['architecture']}:{r['job']['method']}": r for r in study.records()}


@pytest.mark.slow
def test_every_way_to_fail_is_a_value_and_can_be_retried(run):
    study = run.study
    code, out = run()
    assert code == 1
    found = records(study)
    unborn = found["unborn:baseline"]
    reasons = {name: f"{r['status']}: {r.get('reason')}" for name, r in found.items()}
    assert found.pop("unet-2:baseline")["status"] == "done", "the others go on"
    assert reasons == {
        "unborn:baseline": f"failed: job {unborn['id']}: this network can't be built yet",
        "unet-2:baseline": "done: None",
        "unet-2:pm-kd": "blocked: its teacher unborn:baseline 80 updates seed 0 has no trained network "
        "(failed)",
        "unet-2:raises": "failed: RuntimeError: no such thing in weights/x.bin or y.bin",
        "unet-2:memory": "failed: out of memory (Unable to allocate 3 TiB); --micro-batch or --memory-gb "
        "make a study of smaller steps",
        "unet-2:diverges": "failed: diverged: loss is nan in epoch 1, batch 1",
        "unet-2:killed": "failed: its process was killed by SIGKILL, as the system does when memory is "
        "short, 2 times in a row",
        "unet-2:exits": "failed: its process ended with exit code 7, 2 times in a row",
    }
    ran = (study.root / "ran").read_text().split()[::2]
    twice = {found["unet-2:killed"]["id"], found["unet-2:exits"]["id"]}
    assert {job_id for job_id in ran if ran.count(job_id) > 1} == twice
    for name, record in found.items():
        assert f"unet-2:{record['job']['method']} 80 updates seed 0: " in out or name == "unborn:baseline"
        assert record["reason"] in out
        assert {"commit", "packages", "machine", "data", "split"} <= set(record["provenance"])
        assert not re.search(r"(?<![\w.~/<>-])/\w", json.dumps(record)), "no absolute path"
    assert "7 of 8 jobs without a result; --retry-failed runs them again" in out
    logs = {path.stem: path.read_text() for path in (study.root / "logs").iterdir()}
    assert set(logs) == {r["id"] for r in found.values() if "log" in r}
    assert len(logs) == 4
    text = logs[found["unet-2:raises"]["id"]]
    assert 'File "bench/training/step.py", line ' in text
    assert "RuntimeError: no such thing in weights/x.bin or y.bin\nmore" in text
    assert not re.search(r"(?<![\w.~/-])/\w", text)
    assert [p for p in (study.root / "leases").iterdir() if p.name != ".gitignore"] == []

    # Again: nothing that has failed is run, all is named.
    code, out = run()
    assert (code, (study.root / "ran").read_text().split()[::2]) == (1, ran)
    assert "1 done, 0 to run, 7 failed before" in out
    assert "nothing to run" in out
    assert "7 of 8 jobs without a result" in out
    _, out = run(dry_run=True)
    assert out.count("; --retry-failed runs it again") == 7

    # Mended: the teacher comes first, then the student that it blocked.
    (study.root / "mended").touch()
    code, out = run(retry_failed=True)
    assert code == 0, out
    assert "7 to run" in out
    assert {r["status"] for r in records(study).values()} == {"done"}
    assert list((study.root / "logs").iterdir()) == []
    assert "nothing to run" in run(retry_failed=True)[1]


def test_a_failure_keeps_the_results_that_are_there(simulated):
    job = simulated.add("unet-32-64", "baseline", 0)
    study, before = simulated.study, simulated.study.record(job.id)
    failures.fail(study, job, "failed", "no memory for the test set", "a log")
    record = study.record(job.id)
    assert record == before | {"failure": "failed, no memory for the test set"}
    assert failure(record) == "failed, no memory for the test set"
    failures.begin_again(study, job)
    failures.succeeded(study, job)
    assert study.record(job.id) == before
    assert not list((study.root / "logs").iterdir())


def test_a_job_whose_process_died_twice_is_not_begun_a_third_time(simulated, capsys):
    job = simulated.job("unet-32-64", "baseline", 0)
    simulated.study.plan(job)
    for _ in range(failures.ATTEMPTS):
        held = lease.acquire(simulated.study.root, job.id)
        values = json.loads(held.path.read_text())
        held.path.write_text(json.dumps(values | {"process": [1, "before"]}))
    assert local_run(simulated.study, job.id) == 1
    assert simulated.study.record(job.id)["reason"] == "its process died 2 times without a reason"
    assert not lease.was_killed(simulated.study.root, job.id), "--retry-failed begins anew"


def test_a_job_without_its_teacher_writes_that_it_is_blocked(bench, tmp_path, tiny_matrix):
    root = tmp_path / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.commands.local.run", lambda *_: 0)
        patch.setattr("bench.commands.write_report", lambda *_: None)
        run_matrix(Options(matrix=str(tiny_matrix), results=root))
    study = Study(root)
    student = next(job for job in study.jobs() if job.method == "pm-kd")
    teacher = study.job(student.teachers[0])
    failures.fail(study, teacher, "cannot-learn", "a softmax")
    assert bench("job", root, student.id).code == 1
    record = study.record(student.id)
    assert record["status"] == "blocked"
    assert record["reason"] == f"its teacher {teacher.label} has no trained network (cannot-learn)"


def test_what_keeps_a_job_from_beginning_stands_in_its_record(simulated, refused):
    job = simulated.job("unet-32-64", "baseline", 0)
    simulated.study.plan(job)
    assert "--data must name its folder" in refused("job", simulated.study.root, job.id)
    record = simulated.study.record(job.id)
    assert (record["status"], "--data must name its folder" in record["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "out of memory (); "),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory (CUDA out of memory. "),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (Diverged("loss is inf"), "diverged: loss is inf"),
        (KeyError("x"), "KeyError: 'x'"),
        (UserError("weights: missing"), "weights: missing"),
        (OSError(28, "No space left on device", "/home/me/x y.bin"), "OSError: [Errno 28] No space left"),
        (ValueError("https://example.org/a/b 1/2 and/or a/b"), "https://example.org/a/b 1/2 and/or a/b"),
    ],
)
def test_reasons_are_one_line_without_places(error, text, tmp_path):
    found = failures.reason(error, Study(tmp_path))
    assert text in found
    assert "\n" not in found
    assert "/home/me" not in found


def test_each_job_sees_one_of_several_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, 5,7")
    assert local._places({"device": "cuda", "workers": 1}) == ["2", "5", "7"]
    assert local._places({"device": "cuda", "workers": 4}) == ["2", "5", "7", "2"]
    assert local._places({"device": "cpu", "workers": 2}) == ["", ""]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert local._places({"device": "cuda", "workers": 2}) == ["", ""]


def local_run(study: Study, job_id: str) -> int:
    from bench.running.job_process import run_job

    return run_job(study.root, job_id, Options(targets_gb=0.0, no_test=True))
