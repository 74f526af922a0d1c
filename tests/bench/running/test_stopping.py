"""Ctrl-C, SIGTERM and SIGKILL, sent to real processes; two processes on one study."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import broken_jobs
import pytest

from bench.compute.processes import process_context
from bench.files import lease, liveness
from bench.planning.options import Options
from bench.running.executors import local
from bench.study.store import Study

SCRIPT = Path(broken_jobs.__file__)
PATIENCE = 240
MATRIX = {
    "teacher": "unet-4-8", "students": ["unet-2"], "methods": ["baseline"], "image_size": 16,
    "seeds": [0, 1], "updates": 80, "workers": 1,
}  # fmt: skip


@pytest.fixture
def start(tmp_path):
    """Start the command line in a process of its own, with a session of its own like a terminal's."""
    (tmp_path / "m.yaml").write_text(json.dumps(MATRIX))
    (tmp_path / "s").mkdir()
    root = SCRIPT.parent.parent
    started: list[subprocess.Popen] = []

    def call() -> subprocess.Popen:
        command = [SCRIPT, "--matrix", tmp_path / "m.yaml", "--results", tmp_path / "s", "--no-test"]
        process = subprocess.Popen(
            [sys.executable, *map(str, command), "--device", "cpu"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )  # fmt: skip
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until_epoch(process: subprocess.Popen, epoch: int = 1) -> None:
    for line in process.stdout:
        if f"train epoch {epoch}/" in line:
            return
    raise AssertionError("ended before")


def ran(root: Path) -> list[tuple[str, int]]:
    lines = (root / "ran").read_text().splitlines() if (root / "ran").exists() else []
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def until(condition) -> None:
    for _ in range(PATIENCE * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited for {PATIENCE} s")


@pytest.mark.slow
def test_killed_then_two_processes_do_the_rest_each_job_once(start, tmp_path):
    root = tmp_path / "s"
    (root / "slow").write_text("0.3")
    first = start()
    until_epoch(first)
    [(job_id, worker)] = ran(root)
    first.kill()
    until(lambda: liveness.started(worker) is None)
    assert lease.was_killed(root, job_id)
    assert Study(root).records() == []
    (root / "slow").write_text("0.05")
    (root / "ran").unlink()
    both = [start(), start()]
    texts = [process.communicate(timeout=PATIENCE)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    records = Study(root).records()
    assert [r["status"] for r in records] == ["done"] * 4
    assert sorted(name for name, _ in ran(root)) == sorted(r["id"] for r in records)
    assert {path.name for path in (root / "leases").iterdir()} == {".gitignore"}
    assert "by another process" in "".join(texts) or "4 done" in "".join(texts)


@pytest.mark.slow
def test_ctrl_c_saves_and_stops_and_the_same_command_goes_on(start, tmp_path):
    root = tmp_path / "s"
    (root / "slow").write_text("0.5")
    process = start()
    until_epoch(process)
    os.killpg(process.pid, signal.SIGINT)
    out = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130, out
    assert "stopping: running jobs finish their epoch and save" in out
    assert "stopped by SIGINT; the same command goes on" in out
    assert f"train epoch {broken_jobs.EPOCHS}/" not in out
    assert "Traceback" not in out
    [(_, worker)] = ran(root)
    assert liveness.started(worker) is None
    assert Study(root).records() == []
    assert {path.name for path in (root / "leases").iterdir()} == {".gitignore"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A study of one job, planned in this process."""
    from bench.commands import run_matrix

    folder = tmp_path_factory.mktemp("planned")
    (folder / "m.yaml").write_text(json.dumps(MATRIX))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.commands.local.run", lambda *_: 0)
        patch.setattr("bench.commands.write_report", lambda *_: None)
        matrix = str(folder / "m.yaml")
        run_matrix(Options(matrix, results=folder / "s", only="unet-2:*", device="cpu", seeds=(0,)))
    return folder / "s"


@pytest.fixture
def job(planned):
    """Run the job in a process of its own; gives the process, once it trains."""
    [(one)] = Study(planned).jobs()
    (planned / "ran").unlink(missing_ok=True)

    def call(seconds: float, **changes: float):
        (planned / "slow").write_text(str(seconds))
        options = Options(device="cpu", targets_gb=0.0, no_test=True)
        arguments = (partial(broken_jobs.run_job, **changes), planned, one.id, options, True, "")
        process = process_context().Process(target=local._work, args=arguments)
        process.start()
        until(lambda: ran(planned))
        return process

    return call


FOREVER = 4 * PATIENCE


def test_a_second_ctrl_c_stops_at_once(job, planned):
    process = job(FOREVER)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.is_alive(), "the first waits for the epoch"
    os.kill(process.pid, signal.SIGINT)
    process.join(PATIENCE)
    assert process.exitcode == 130
    assert not lease.was_killed(planned, Study(planned).jobs()[0].id)
    assert Study(planned).records() == []


@pytest.mark.parametrize(("seconds", "grace"), [(0.3, 600.0), (FOREVER, 0.2)])
def test_sigterm_saves_and_stops_in_time(job, planned, seconds, grace):
    """At the end of the epoch; where that would take too long, without it."""
    process = job(seconds, grace=grace)
    os.kill(process.pid, signal.SIGTERM)
    process.join(PATIENCE)
    assert process.exitcode == 143
    assert Study(planned).records() == []
    assert lease.holder(planned, Study(planned).jobs()[0].id) is None
