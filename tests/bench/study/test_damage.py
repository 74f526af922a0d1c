"""What was truncated or changed on disk is named, set aside and made again; the rest goes on."""

import json
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import a_setting

from bench.data.decoded import decode_once
from bench.errors import UserError
from bench.files.atomic import HOST, write_file
from bench.files.checked import set_aside
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.planning.session import Session
from bench.planning.todo import to_run
from bench.report import frames
from bench.running.job import complete
from bench.study.predictions import read_predictions
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.job_parts import load_artefact

SHORT = Options(no_test=True, epochs=2)


def run(study, job, prepared):
    """Two epochs of the job, and its validation scores."""
    session = Session(study, prepared.dataset, (prepared.split,), torch.device("cpu"), {})
    return complete(session, job, SHORT, Reporter())


@pytest.fixture
def study(finished, tmp_path):
    """A teacher and a student that are done, and their jobs; a copy for each test to damage."""
    made, jobs = finished
    return Study(shutil.copytree(made.root, tmp_path / "study")), jobs


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_phantom):
    setting = a_setting(64, can_compile=False, dataset="phantom", image_size=16, threads=1)
    content = {"teacher": "unet-2-4", "students": ["unet-2"], "methods": ["pm-kd"], "updates": 80}
    jobs = [cell.job for cell in cells(parse_matrix(content, "tiny"), setting)]
    study = Study(tmp_path_factory.mktemp("damage") / "study")
    for job in jobs:
        study.plan(job)
        run(study, job, small_phantom)
    return study, jobs


def flip(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 4
    return bytes(changed)


def cut(content):
    return content[: len(content) // 3]


@pytest.mark.parametrize("damage", [flip, cut])
def test_a_damaged_file_is_named_set_aside_and_made_again(study, damage, small_phantom, told, capfd):
    study, (teacher, student) = study
    recorded = next((study.root / "targets").glob("*/logits.half.npy"))
    damaged = [
        study.path("predictions", teacher.id), study.path("weights", student.id),
        study.path("records", student.id), recorded,
    ]  # fmt: skip
    before = {path: path.read_bytes() for path in damaged}
    curves = study.record(student.id)["curves"]
    assert to_run(study, [teacher, student], no_test=True) == []
    for path, content in before.items():
        path.write_bytes(damage(content))
    capfd.readouterr()
    for _ in range(2):  # also when the first start is killed after it has set them aside
        assert to_run(Study(study.root), [teacher, student], no_test=True) == [teacher, student]
    for job in (teacher, student):
        run(study, job, small_phantom)
    lines = capfd.readouterr().err.splitlines()
    # The student's weights are not judged by a record that is gone; they are simply made again.
    named = [path for path in damaged if path != study.path("weights", student.id)]
    assert len(lines) == len(named)
    for path in named:
        aside = path if path != recorded else recorded.parent
        [line] = [line for line in lines if line.startswith(f"{aside}: damaged, ")]
        assert line.endswith(f"set aside as {aside.name}.corrupt")
        kept = aside.with_name(f"{aside.name}.corrupt")
        assert (kept if path != recorded else kept / recorded.name).read_bytes() == damage(before[path])
    same = [path for path in damaged if path != study.path("records", student.id)]
    assert all(path.read_bytes() == before[path] for path in same)
    timeless = [
        [{**row, "seconds": 0} for row in rows] for rows in (curves, study.record(student.id)["curves"])
    ]
    assert timeless[0] == timeless[1]
    assert to_run(study, [teacher, student], no_test=True) == []


def test_damaged_weights_of_a_teacher_are_trained_again_before_its_students(
    study, small_phantom, told, capfd
):
    study, (teacher, student) = study
    weights = study.path("weights", teacher.id)
    whole = weights.read_bytes()
    weights.write_bytes(cut(whole))
    study.path("records", student.id).unlink()
    with pytest.raises(UserError, match="the teacher's weights are missing"):
        run(study, student, small_phantom)
    assert f"{weights}: damaged, not what its record says" in capfd.readouterr().err
    assert to_run(study, [teacher, student], no_test=True) == [teacher, student]
    run(study, teacher, small_phantom)
    assert weights.read_bytes() == whole


def test_files_of_records_without_checksums_are_read_if_they_can_be(study, small_phantom, told, capfd):
    """As the first versions wrote them."""
    study, (teacher, student) = study
    for job in (teacher, student):
        path = study.path("records", job.id)
        content = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in content.items() if k not in ("files", "checksum")}))
        assert study.record(job.id)["status"] == "done"
    assert to_run(study, [teacher, student], no_test=True) == []
    assert capfd.readouterr().err == ""
    study.path("weights", teacher.id).write_bytes(cut(study.path("weights", teacher.id).read_bytes()))
    assert load_artefact(study, teacher) is None
    assert to_run(study, [teacher, student], no_test=True) == [teacher]
    study.path("predictions", student.id).write_bytes(b"PK")
    assert read_predictions(study, student.id) is None
    assert capfd.readouterr().err.count("set aside as") == 2


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_record_is_read_as_it_was_written_or_not_at_all(tmp_path, data):
    study = Study(tmp_path)
    record = {"id": "x", "status": "done", "curves": [{"seg": 0.1}], "files": {"weights": "ab"}, "n": None}
    study.write_record(record)
    path = study.path("records", "x")
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[where] = data.draw(st.integers(0, 255))
    else:
        content = content[:where]
    path.write_bytes(content)
    assert study.record("x") in (record, None)
    assert study.records() in ([record], [])


@pytest.mark.parametrize("change", [("seed", 7), ("seed", None)])
def test_a_damaged_plan_is_planned_again(simulated, change, told, capfd):
    study, job = simulated.study, simulated.job("unet-32-64", "pm-kd", 0)
    study.plan(job)
    path = study.path("jobs", job.id)
    field, value = change
    path.write_text(json.dumps({**job.as_dict(), field: value}) if value else path.read_text()[:99])
    study.plan(job)
    assert study.jobs() == [job]
    assert capfd.readouterr().err.count(f"set aside as {path.name}.corrupt") == 1
    study.plan(job)
    assert capfd.readouterr().err == ""


def test_the_summary_reports_the_rest(simulated, told, capfd):
    study = simulated.fill(seeds=1, students=1)
    path = study.path("records", simulated.job("unet-32-64", "pm-kd", 0).id)
    path.write_text(path.read_text()[:1000])
    assert len(frames.summary(study)) == 4
    assert len(frames.summary(study)) == 4
    [line] = capfd.readouterr().err.splitlines()
    assert line == f"{path}: damaged, not readable as JSON (" + line.partition("JSON (")[2]
    assert line.endswith(f"set aside as {path.name}.corrupt")


def test_what_is_set_aside_overwrites_nothing(tmp_path):
    path = tmp_path / "a.json"
    for number in range(3):
        path.write_text(str(number))
        set_aside(path, "broken")
    names = ("a.json.corrupt", "a.json.corrupt2", "a.json.corrupt3")
    assert [(tmp_path / name).read_text() for name in names] == ["0", "1", "2"]


def test_a_damaged_cache_of_decoded_arrays_is_decoded_again(tmp_path, told, capfd):
    folder = tmp_path / "key"
    folder.mkdir()
    for kind in "im":
        np.save(folder / f"{kind}0.npy", np.zeros((64, 64)))
    (folder / "i0.npy").write_bytes((folder / "i0.npy").read_bytes()[:500])
    (folder / "contents.json").write_text('["x"]')
    again = [np.ones((1, 4, 4))], [np.ones((4, 4), np.uint8)]
    assert decode_once(tmp_path, "key", 1, lambda: again)[:2] == again
    assert "key.corrupt" in capfd.readouterr().err


def test_only_what_the_dead_left_half_written_is_removed(tmp_path):
    study = Study(tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    waiting = subprocess.Popen(["true"])  # ends, but is not reaped yet
    os.waitid(os.P_PID, waiting.pid, os.WEXITED | os.WNOWAIT)
    dead = [f"records/.a.{HOST}-{ended.pid}.json", f"weights/.b.{HOST}-{waiting.pid}.safetensors",
            f"targets/.c-s0-16.{HOST}-{ended.pid}/x.npy", "records/.d.012345-1.json"]  # fmt: skip
    alive = [f"records/.e.{HOST}-{os.getpid()}.json", "records/.f.012345-1.json", ".gitignore",
             "records/g.json", ".notes.2024", f"targets/.h.{HOST}-{os.getpid()}/x.npy"]  # fmt: skip
    for name in dead + alive:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    os.utime(tmp_path / dead[-1], (time.time() - 1e5,) * 2)
    study.tidy()
    waiting.wait()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(alive)


def test_what_is_not_for_git_is_named_in_older_studies_too(tmp_path):
    (tmp_path / ".gitignore").write_text("weights/\nmine/\n")
    Study(tmp_path).keep_from_git(synthetic=True)
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines == ["weights/", "mine/", "targets/", "cache/", "checkpoints/", "progress/", "logs/",
                     "tensorboard/", "*.corrupt*"]  # fmt: skip


def test_folders_that_cannot_be_synchronised_are_no_error(tmp_path, monkeypatch):
    """As on some network file systems."""

    def refuses(handle, real=os.fsync):
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(22, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", refuses)
    write_file(tmp_path / "a.txt", lambda partial: partial.write_text("whole"))
    assert (tmp_path / "a.txt").read_text() == "whole"
