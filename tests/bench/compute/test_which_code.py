"""Whose code runs: that which was called, wherever it is called from and whatever else is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.compute.processes import PRELOAD
from bench.running.executors import commands

CODE = Path(bench.__file__).parent
COPIED = ("__init__.py", "compute/__init__.py", "compute/processes.py", "compute/fork_server.py")
JOB = """
import os, sys


def whose():
    preloaded = "bench.compute.fork_server" in sys.modules
    return __file__, preloaded, os.environ.get("PYTHONPATH"), os.environ.get("PYTHONSAFEPATH")
"""
CALL = """
import sys
from bench.compute.processes import in_own_process
from bench.running.job_process import whose

if __name__ == "__main__":
    print(*in_own_process(whose), sep="\\n")
"""


@pytest.fixture
def checkout(tmp_path):
    """Makes a tiny copy of the package, with what starts processes and the code of a job."""

    def make(name: str) -> Path:
        root = tmp_path / name
        for file in COPIED:
            (root / "bench" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CODE / file, root / "bench" / file)
        (root / "bench" / "running").mkdir()
        (root / "bench" / "running" / "__init__.py").touch()
        (root / "bench" / "running" / "job_process.py").write_text(JOB)
        (root / "bench" / "__main__.py").write_text("print(__file__)\n")
        (root / "call.py").write_text(CALL)
        libraries = [module.replace(".", "/") for module in PRELOAD if not module.startswith("bench.")]
        for library in libraries:  # they take seconds to import, and are empty here
            (root / library).mkdir(parents=True, exist_ok=True)
            for package in (Path(library), *Path(library).parents[:-1]):
                (root / package / "__init__.py").touch()
        return root

    return make


def call(*words: object, folder: Path, installed: Path) -> list[str]:
    """What Python prints, in ``folder`` and where ``installed`` can be imported."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_job_runs_the_checkout_that_was_called(checkout):
    called, installed, here = (checkout(name) for name in ("called", "installed", "here"))
    file, preloaded, *environment = call(called / "call.py", folder=here, installed=installed)
    assert Path(file).is_relative_to(called)
    assert preloaded == "True"
    assert environment == [str(installed), "None"], "what the user has set is as it was"


def test_a_job_runs_the_installed_package_where_that_was_called(checkout, tmp_path):
    installed, here = checkout("installed"), checkout("here")
    script = tmp_path / "scripts" / "call.py"
    script.parent.mkdir()
    shutil.copy(installed / "call.py", script)
    file, *_ = call(script, folder=here, installed=installed)
    assert Path(file).is_relative_to(installed)


def test_a_module_that_was_called_runs_its_own_code(checkout):
    here, installed = checkout("here"), checkout("installed")
    file, *_ = call("-m", "call", folder=here, installed=installed)
    assert Path(file).is_relative_to(here)


def test_without_the_environment_jobs_still_run_what_was_called(checkout):
    """``python -E``: the server preloads nothing then, for it would not find the right code."""
    called, here = checkout("called"), checkout("here")
    file, preloaded, *_ = call("-E", called / "call.py", folder=here, installed=here)
    assert Path(file).is_relative_to(called)
    assert preloaded == "False"


def test_the_commands_of_clusters_run_this_code_wherever_they_start(checkout, tmp_path, monkeypatch):
    here, called = checkout("here"), checkout("called")
    out = tmp_path / "out"
    monkeypatch.setattr(commands, "PATH", str(called))
    monkeypatch.chdir(here)
    words = [sys.executable, *commands.ENTRY]
    redirected = ["sh", "-c", f'exec "$@" > {out}', "sh", *words]
    assert commands.run_command(redirected, os.environ | {"PYTHONPATH": str(here)}) == 0
    assert Path(out.read_text().strip()).is_relative_to(called)


@pytest.mark.parametrize("engine", ["ray", "slurm"])
def test_what_is_sent_to_a_node_needs_no_package_there(engine, tmp_path):
    """A node may find another copy of the package, or none."""
    pytest.importorskip({"ray": "ray", "slurm": "submitit"}[engine])
    if engine == "ray":
        import ray

        from bench.running.executors.ray import _task

        sent = ray.cloudpickle.dumps((_task._function, (["true"], None)))
    else:
        import cloudpickle

        from bench.running.executors.slurm import Command

        sent = cloudpickle.dumps((Command(["true"]), ()))
    (tmp_path / "sent").write_bytes(sent)
    code = (
        "import pickle, sys; sys.modules['bench'] = None\n"
        "function, arguments = pickle.load(open('sent', 'rb'))\n"
        "raise SystemExit(function(*arguments))"
    )
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)
