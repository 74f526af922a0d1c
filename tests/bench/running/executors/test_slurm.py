"""Arrays on a real Slurm: jobs cancelled and requeued in their midst, the same results in the end."""

import re
import shutil
from datetime import timedelta

import pytest
import short_jobs
from commands import Command, needs, output, same_results
from hypothesis import given
from hypothesis import strategies as st

from bench.study.profile import read_profile
from bench.study.store import Study

needs("submitit")
from bench.running.executors import slurm as slurm_arrays  # noqa: E402


def test_a_cancelled_job_runs_again_on_the_next_call_a_requeued_one_by_itself(
    slurm, here, matrix, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "study"
    options = ("--executor", "slurm", "--slurm", "partition=main,time=10")
    arguments = ["--matrix", matrix, "--results", root, *options]
    root.mkdir()
    held = root / "held"
    held.touch()

    def logs(text: str) -> list[str]:
        """The Slurm jobs that have printed it."""
        found = sorted((tmp_path / "cache").rglob("*_0_log.out"))
        there = [path.name for path in found if text in path.read_text(errors="replace")]
        return [name.removesuffix("_0_log.out") for name in there]

    with Command(arguments, tmp_path / "out", entry=short_jobs.SCRIPT) as command:
        command.comes_to(lambda: "Slurm job" in command.output.read_text())
        [array] = re.findall(r"Slurm job (\d+): unet-8-16-32", command.output.read_text())
        teacher, student = f"{array}_0", f"{array}_1"
        command.comes_to(lambda: {student, teacher} <= {*logs("train epoch 1/")})
        output("scancel", student)
        output("scontrol", "requeue", teacher)
        command.comes_to(lambda: "PENDING" in output("squeue", "-h", "-r", "-o", "%T", "-j", teacher))
        held.unlink()
        output("scontrol", "update", f"JobId={teacher}", "StartTime=now")  # else after two minutes
        text = command.ends()
    assert command.process.returncode == 1
    assert "unet-8-16:baseline 80 updates seed 0: no result (cancelled" in text
    assert text.count("done, validation Dice") == 2
    assert logs("DUE TO JOB REQUEUE") == [teacher]
    assert (root / "index.html").is_file()
    (root / "unreported").touch()
    with Command(arguments, tmp_path / "again", entry=short_jobs.SCRIPT) as command:
        assert "3 jobs, 2 done, 1 to run" in command.ends()
    assert command.process.returncode == 0
    same_results(here, root)
    measured = {entry["graph"] for entry in read_profile(Study(root))}
    assert measured == {"unet-8-16-32", "unet-8-16"}
    assert not output("squeue", "-h")
    assert not list(root.rglob("*.pkl"))


def test_what_slurm_refuses_is_one_line(slurm, matrix, tmp_path, refused, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    arguments = ("--matrix", matrix, "--results", tmp_path / "study", "--executor", "slurm")
    assert "invalid partition specified: moon" in refused(*arguments, "--slurm", "partition=moon,time=1")
    assert not output("squeue", "-h")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--slurm: name the time limit of a job, e.g. --slurm partition="),
        ("partition=main", "--slurm: name the time limit of a job"),
        ("time=1,color=red", "--slurm 'color=red': must be KEY=VALUE, known keys: partition, time, gpus"),
        ("time=soon", "--slurm 'time=soon': time must be minutes or [D-]HH:MM:SS"),
        ("time", "--slurm 'time': must be KEY=VALUE"),
        ("time=1,", "--slurm '': must be KEY=VALUE"),
        ("time=1,time=2", "--slurm 'time=2': time is given twice"),
        ("time=1,gpus=many", "--slurm 'gpus=many': gpus must be a number or TYPE:NUMBER"),
        ("time=1,mem=much", "--slurm 'mem=much': mem must be megabytes or with a unit"),
        ("time=1,partition=a\n#SBATCH -w b", "partition must be a name"),
    ],
)
def test_bad_options_are_one_line(text, message, matrix, tmp_path, refused):
    arguments = ("--matrix", matrix, "--results", tmp_path / "r", "--executor", "slurm", "--slurm", text)
    assert message in refused(*arguments)
    assert not (tmp_path / "r").exists()


def test_without_slurm_that_is_said(matrix, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    arguments = ("--matrix", matrix, "--results", tmp_path / "r", "--executor", "slurm")
    assert "no sbatch and srun here" in refused(*arguments, "--slurm", "time=1")


@given(st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=99)))
def test_times_are_rounded_up_to_minutes(time):
    seconds = int(time.total_seconds())
    text = f"{seconds // 86400}-{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    assert slurm_arrays.parse(f"time={text}") == {"time": text}
    assert slurm_arrays.minutes(text) == -(-seconds // 60)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("5", 5), ("90:00", 90), ("1:30", 2), ("2:00:00", 120), ("1-2", 1560), ("1-2:03", 1563)],
)
def test_times_as_slurm_reads_them(text, minutes):
    assert slurm_arrays.minutes(slurm_arrays.parse(f"time={text}")["time"]) == minutes


def test_a_comma_in_brackets_is_no_separator():
    assert slurm_arrays.parse("nodelist=node[1,3-5],time=1") == {"nodelist": "node[1,3-5]", "time": "1"}
