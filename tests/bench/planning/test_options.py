"""Every option is declared once, and goes from there to the command line, the study, jobs, the runtime."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.job import FIELDS, key_of
from bench.planning.options import Options, flags

ROOT = Path(__file__).resolve().parents[3]


def test_defaults_ask_nothing():
    assert Options().asked == {}
    assert Options().words() == []


def test_what_is_asked_of_a_study_has_the_studys_keys():
    options = Options(no_compile=True, recompute=True, micro_batch=4, device="cpu", targets_gb=1.0)
    assert options.asked == {"compile": False, "checkpointing": True, "micro_batch": 4, "device": "cpu"}


def test_a_job_is_told_what_concerns_it_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = Options(
        data=Path("images"), device="cpu", no_test=True, targets_gb=2.0, workers=4, micro_batch=4, epochs=3
    )
    told = options.of_a_job
    assert told == Options(data=Path("images"), device="cpu", no_test=True, targets_gb=2.0, epochs=3)
    words = f"--data {tmp_path / 'images'} --device cpu --targets-gb 2.0 --no-test"
    assert told.words() == words.split()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"device": "tpu"}, "--device must be one of auto, cpu, cuda, mps, not 'tpu'"),
        ({"precision": "fp8"}, "--precision must be one of"),
        ({"slices": "sagittal"}, "--slices 'sagittal' is unknown; known: axial"),
        ({"micro_batch": 3}, "--micro-batch 3: must divide the batch of 16"),
        ({"memory_gb": float("nan")}, "--memory-gb nan: must be positive and finite"),
        ({"memory_gb": 1.0, "micro_batch": 4}, "--micro-batch and --memory-gb: give one"),
    ],
)
def test_values_that_can_not_be_are_refused_wherever_they_come_from(values, line):
    with pytest.raises(UserError, match="^" + line.replace("(", r"\(")):
        Options(**values)


def test_frozen_options_that_are_of_a_job_have_its_key():
    """Else a setting would not find the field that it is for."""
    keys = {key_of(field) for field in FIELDS}
    names = {known.frozen: own.name for own, known in flags() if known.frozen in keys}
    assert names == {"precision": "precision", "micro_batch": "micro_batch", "checkpointing": "recompute"}
    by_key = {key_of(field): field.name for field in FIELDS}
    assert all(by_key[key] == name for key, name in names.items())


@pytest.mark.slow
def test_a_new_flag_is_three_lines_in_three_files(tmp_path):
    """Declared in ``options``, a field of ``Job`` and of ``Runtime``: nothing else has to know of it."""
    for name in ("architectures", "methods", "bench"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "run_bench.py", tmp_path)
    flag = '    warmth: int = flag(0, "Try it.", frozen="warmth")\n'
    for file, line, new in [
        ("planning/options.py", "    workers: int | None", flag),
        ("job.py", "    recompute: bool", "    warmth: int = setting(0)\n"),
        ("compute/runtime.py", "    micro_batch: int", "    warmth: int = 0\n"),
    ]:
        path = tmp_path / "bench" / file
        text = path.read_text()
        assert text.count(line) == 1
        path.write_text(text.replace(line, new + line))
    (tmp_path / "m.yaml").write_text("teacher: unet-2-4\nstudents: [unet-2]\nimage_size: 16\nworkers: 1\n")

    def call(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, check=False, capture_output=True, text=True,
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "--warmth" in call("run_bench.py", "--help")
    (tmp_path / "begin.py").write_text(BEGIN)
    assert "3" in call("begin.py").splitlines(), "the runtime has it"
    assert json.loads((tmp_path / "s" / "study.json").read_text())["warmth"] == 3
    jobs = [json.loads(path.read_text()) for path in (tmp_path / "s" / "jobs").iterdir()]
    assert [job["warmth"] for job in jobs] == [3] * 5
    again = ("run_bench.py", "--matrix", "m.yaml", "--results", "s", "--warmth", "4")
    assert "begun with warmth 3, now it is 4" in call(*again, code=2)


BEGIN = """
import torch
from pathlib import Path
from bench.planning.options import Options
from bench.running.plan import make_plan, resolved, write_plan
from bench.study.reporter import Phases
from bench.training.job_parts import runtime_of

options, matrix = resolved(Options(matrix="m.yaml", results=Path("s"), warmth=3))
plan = make_plan(options, matrix, Phases())
write_plan(plan)
print(runtime_of(plan.jobs[0], torch.device("cpu")).warmth)
"""
"""Begins a study without running its jobs."""
