"""What tests share: small synthetic studies, the real data where it lies, the command line."""

from __future__ import annotations

import functools
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import short_jobs
import torch
from commands import missing
from converted import once
from native import NATIVE, TESTS

import architectures
import methods
from bench import plugins
from bench.cli import main
from bench.compute import processes, quiet
from bench.data import datasets, phantom
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient
from bench.telling import LOGGER, Lines, print_line, told_to
from methods.converting import onnxruntime

SHARED = TESTS.parent.parent / "shared" / "data"
TINY_MATRIX = """
teacher: unet-4-8-16
students: [unet-2-4]
image_size: 16
updates: 80
"""


def pytest_configure() -> None:
    # Of a process in the background shells have SIGINT ignored, and those that it starts inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What tests start has one thread, unless it asks for more, and threads sleep while they wait for each
    # other: beside other processes they would wait long.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    short_jobs.plan_for_one_core()
    # What else runs on this machine decides no test, and none waits for it.
    quiet.is_busy = lambda: False
    # No test cuts the power, so nothing waits for the disk; what is killed are processes, of their own.
    os.fsync = lambda handle: None
    # Many tests open a study of the same slices in this process; nothing writes to them.
    phantom.render = functools.cache(phantom.render)
    onnxruntime.exported = once(onnxruntime.exported)
    # What is told is printed, as the command line does it.
    LOGGER.addHandler(Lines(print_line))
    LOGGER.setLevel(logging.INFO)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of all tests leave those that load other runtimes to the process that one test starts."""
    everything = any(Path(name).resolve() in (TESTS, TESTS.parent) for name in config.args)
    return True if everything and any(collection_path == TESTS / where for where in NATIVE) else None


def pytest_collection_finish() -> None:
    # What is imported by now stays: the collector of garbage need not look through it again and again.
    gc.freeze()
    gc.set_threshold(2000, 10, 50)


def pytest_runtest_setup() -> None:
    # The tensors of tests are small: threads wait for each other longer than they compute, and what a
    # test before has set would stay.
    torch.set_num_threads(1)


MARKED = {"chromium": "browser", "slurm": "cluster", "finished": "slow"}
"""Fixtures that take long, or something that not every machine has, and what their tests are marked as."""


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        for fixture in MARKED.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKED[fixture])
    # Files that take long begin first, so that no process is left with one when the others have ended.
    long = ("slow", "cluster")
    slow = {item.path for item in items if any(map(item.get_closest_marker, long))}
    items.sort(key=lambda item: item.path not in slow)


def shared_data(name: str, what: str) -> Path:
    """Real data beside the checkout. Where they are missing the test is skipped, in CI it fails."""
    folder = SHARED / name
    if not folder.is_dir():
        missing(f"the {what} are not beside the checkout (../shared/data/{name})")
    return folder


@pytest.fixture
def liver_data() -> Path:
    """The real slices."""
    return shared_data("liver_ct", "liver slices")


@pytest.fixture
def hippocampus_data() -> Path:
    """The real volumes."""
    return shared_data("Task04_Hippocampus", "hippocampus volumes")


@pytest.fixture(scope="session")
def small_phantom() -> PreparedImages:
    """25 patients, 64 training slices of 32 x 32, prepared at 16 x 16."""
    dataset = phantom.generate(side=32)
    return PreparedImages(dataset, split_by_patient(dataset), 16)


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def bench(monkeypatch, capfd):
    """Call the command line as a user would; gives exit code, output and errors."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["run_bench.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capfd.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def refused(bench):
    """Call the command line and expect one line of error, the last, exit code 2, no traceback.

    What a tiny study is warned of may stand before it: few updates, few patients.
    """

    def call(*arguments: object) -> str:
        result = bench(*arguments)
        assert result.code == 2, result
        assert "Traceback" not in result.err
        lines = [line for line in result.err.strip().splitlines() if ": fewer than " not in line]
        assert len(lines) == 1, result.err
        assert lines[0].startswith("error: ")
        return lines[0]

    return call


@pytest.fixture
def tiny_matrix(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_MATRIX)
    return path


@pytest.fixture
def short(monkeypatch):
    """Jobs end after a few epochs."""
    monkeypatch.setattr("bench.commands.run_job", short_jobs.run_job)


@pytest.fixture
def brief_profile(monkeypatch):
    """Networks are profiled on small images, for as long as it takes to see that it works; no memory."""
    short_jobs.profile_briefly(monkeypatch.setattr)


@pytest.fixture
def no_figures(monkeypatch):
    """Reports have no figures, which take most of their time."""
    short_jobs.report_without_figures(monkeypatch.setattr)


@pytest.fixture
def jobs_only(monkeypatch):
    """Runs end with their last job: nothing is profiled or reported."""
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)


@pytest.fixture
def nothing_runs(jobs_only, monkeypatch):
    """Studies are begun and planned, no more."""
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)


@pytest.fixture
def nothing_registered():
    """Whatever a test registers is gone after it."""
    registries = (methods.METHODS, datasets.DATASETS, plugins.LOADED, plugins.BROKEN)
    before = [dict(registry) for registry in registries]
    families, prepare = list(architectures.FAMILIES), list(processes.PREPARE)
    yield
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)
    architectures.FAMILIES[:] = families
    processes.PREPARE[:] = prepare


@pytest.fixture
def told():
    """The lines that this process tells from now on."""
    lines: list[str] = []
    with told_to(lines.append):
        yield lines
