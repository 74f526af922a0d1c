"""The command line in processes of its own, and what two studies have in common."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from bench.study.store import Study

ENTRY = Path(__file__).resolve().parents[1] / "run_bench.py"


def keep_to_one_core() -> None:
    """For ``preexec_fn``: beside another test each step of two threads would wait for both."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.sched_setaffinity(0, {cores[worker % len(cores)]})


@dataclass
class Command:
    """``run_bench.py`` in a process of its own, its output in a file; or another script for it."""

    arguments: Sequence[object]
    output: Path
    environment: dict[str, str] = field(default_factory=dict)
    entry: Path = ENTRY

    def __enter__(self) -> Command:
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | self.environment
        command = [sys.executable, str(self.entry), *map(str, self.arguments)]
        with self.output.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def ends(self, seconds: float = 600) -> str:
        """What it printed, once it has ended with exit code 0 or 1."""
        code = self.process.wait(seconds)
        text = self.output.read_text()
        assert code in (0, 1), text
        return text

    def comes_to(self, what: Callable[[], object], seconds: float = 600) -> None:
        """Wait until ``what()`` is true, while the command runs."""
        until = time.monotonic() + seconds
        while not what():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < until, self.output.read_text()
            time.sleep(0.1)


def missing(reason: str) -> None:
    """Skip for that reason; in CI fail."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs it: {reason}")
    pytest.skip(reason, allow_module_level=True)


def needs(package: str) -> ModuleType:
    """The package of an optional extra; where it isn't installed, the test is skipped, in CI it fails."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        missing(f"{package} is not installed")
        raise


def output(*command: str) -> str:
    """What a program prints."""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def same_results(one: Path, other: Path) -> None:
    """Weights, curves and cases are equal, bit by bit."""
    records = [{record["id"]: record for record in Study(root).records()} for root in (one, other)]
    assert records[0].keys() == records[1].keys()
    for job, record in records[0].items():
        assert record["status"] == "done"
        for part in ("val", "test"):
            assert record[part] == records[1][job][part], (record["job"], part)
        curves = [[{**row, "seconds": 0} for row in found[job]["curves"]] for found in records]
        assert curves[0] == curves[1], record["job"]
        weights = [Study(root).path("weights", job).read_bytes() for root in (one, other)]
        assert weights[0] == weights[1], record["job"]
