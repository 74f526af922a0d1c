"""A full disk and a folder that can't be written: one line, exit code 2, nothing half-written."""

import json
import os
import subprocess

import pytest
import torch
from commands import missing

from bench.errors import UserError
from bench.files.atomic import PARTIAL
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.study.store import Study
from bench.training import targets


def mounted(*arguments):
    """A real mount, not a mock; root writes through permissions, so these would not do."""
    try:
        done = subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        missing("there is no mount command here")
    if done.returncode:
        missing(f"a real full or read-only disk needs leave to mount one: {done.stderr.strip()}")


def unmount(folder):
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of a given size in kB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size):
        mounted("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", folder)
        return folder

    yield make
    if os.path.ismount(folder):
        unmount(folder)


@pytest.fixture
def read_only():
    """Make a folder one that can't be written."""
    folders = []

    def make(folder):
        mounted("--bind", folder, folder)
        folders.append(folder)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)

    yield make
    for folder in folders:
        unmount(folder)


@pytest.fixture
def planned(tmp_path):
    """Begin a study in a folder and plan one job; returns what ``job`` takes."""

    def plan(root):
        options = Options(dataset="phantom", device="cpu", precision="fp32", no_compile=True)
        session = open_session(root, options)
        session.study.create(session.settings, synthetic=True)
        content = {"teacher": "unet-4-8", "students": ["unet-2"], "image_size": 16}
        job = next(cells(parse_matrix(content, "x"), session.setting(16))).job
        session.study.plan(job)
        return root, job.id

    return plan


def half_written(root):
    return [path for path in root.rglob("*") if PARTIAL.fullmatch(path.name)]


def fill(folder, leave):
    """Leave that many kB."""
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize
    (folder / "filler").write_bytes(bytes(free - leave * 1024))


def test_a_study_on_a_disk_that_is_too_small_is_one_line(disk, tiny_matrix, refused):
    root = disk(512) / "study"
    line = refused("--matrix", tiny_matrix, "--results", root, "--no-compile", "--workers", 1)
    assert "could not be written; no space left on device: make room and start again" in line
    assert str(root / "cache") in line
    assert not half_written(root)
    assert not Study(root).records()


def test_a_job_that_fills_the_disk_fails_with_the_reason(disk, planned, bench):
    root, job_id = planned(disk(1024) / "study")
    fill(root.parent, 32)
    result = bench("job", root, job_id, "--no-test")
    assert result.code == 1
    assert "could not be written; no space left on device" in result.err
    assert "Traceback" not in result.err
    assert not half_written(root)
    assert not Study(root).all("checkpoints")
    record = Study(root).record(job_id)
    assert record["status"] == "failed"
    assert record["reason"].startswith(f"checkpoints/{job_id}.checkpoint: could not be written; no space")
    assert str(root.parent) not in json.dumps(record)


def test_a_disk_with_no_room_for_the_reason_is_one_line(disk, planned, refused):
    root, job_id = planned(disk(1024) / "study")
    fill(root.parent, 0)
    line = refused("job", root, job_id, "--no-test")
    assert "could not be written; no space left on device: make room and start again" in line
    assert f"{root}/" in line
    assert not half_written(root)
    assert Study(root).record(job_id) is None


def test_targets_that_fill_the_disk_are_one_error_and_leave_nothing(disk, small_phantom):
    folder = disk(256) / "targets" / "t"
    half = torch.zeros(16, 1, 16, 16, dtype=torch.float16), torch.zeros(16, dtype=torch.int8)
    from bench.data.stream import SampleStream

    with pytest.raises(UserError, match="targets/t: could not be written; no space left"):
        targets.recorded(
            folder, ["logits"], lambda *_: {"logits": half}, SampleStream(small_phantom, 0, updates=80)
        )
    assert list(folder.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, read_only, planned, tiny_matrix, refused):
    root, job_id = planned(tmp_path / "study")
    (tmp_path / "fresh").mkdir()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    read_only(root)
    read_only(tmp_path / "fresh")
    for arguments in (
        ["--matrix", tiny_matrix, "--results", root, "--no-compile", "--workers", 1],
        ["--matrix", tiny_matrix, "--results", tmp_path / "fresh" / "study", "--workers", 1],
        ["job", root, job_id, "--no-test"],
        ["report", root],
    ):
        line = refused(*arguments)
        assert (
            "could not be written; read-only file system: make it writable, or name another folder" in line
        )
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_damaged_record_in_a_folder_that_cannot_be_written_is_left_out(
    tmp_path, read_only, planned, told, capfd
):
    root, job_id = planned(tmp_path / "study")
    study = Study(root)
    study.write_record({"id": job_id, "status": "failed", "job": study.job(job_id).as_dict()})
    path = study.path("records", "a")
    path.write_text("{")
    read_only(study.root)
    for _ in range(2):
        assert [record["id"] for record in study.records()] == [job_id]
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{path}: damaged, not readable as JSON")
    assert line.endswith("left out; it could not be set aside (Read-only file system)")
