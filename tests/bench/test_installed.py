"""The tool once it is installed: its command, its version, ``python -m bench``."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import bench

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_command_is_the_command_line():
    module, _, function = PROJECT["project"]["scripts"]["lightseg-bench"].partition(":")
    assert getattr(import_module(module), function) is import_module("bench.cli").main


def test_the_version_is_said_once():
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "bench.__version__"


def test_all_that_is_no_code_is_packed():
    globs = PROJECT["tool"]["setuptools"]["package-data"]["bench"]
    packed = {path for glob in globs for path in (ROOT / "bench").glob(glob)}
    found = {path for path in (ROOT / "bench").rglob("*") if path.is_file()}
    assert {path for path in found if path.suffix not in (".py", ".pyc")} == packed


@pytest.mark.parametrize("entry", [["-m", "bench"], [str(ROOT / "run_bench.py")]])
def test_the_version_is_said_without_torch(entry, tmp_path):
    command = [sys.executable, "-X", "importtime", *entry, "--version"]
    done = subprocess.run(
        command, cwd=ROOT if "-m" in entry else tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout == f"lightseg-bench {bench.__version__}\n"
    assert " torch\n" not in done.stderr
