"""Processes of our own answer, die alone, and end with whoever began them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bench.compute.processes import in_own_process, own_processes
from bench.files.liveness import started

SCRIPT = """
import os, signal, sys
from bench.compute import processes

processes.PRELOAD = []  # libraries, which take seconds and end nothing
pool = processes.own_processes(1)
print(pool.submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.{how})
"""


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_answer_comes_from_another_process():
    assert in_own_process(os.getpid) != os.getpid()


def test_one_that_dies_or_raises_gives_none(capfd):
    assert in_own_process(killed) is None
    assert in_own_process(int, "seven") is None
    assert "invalid literal" in capfd.readouterr().err


KEPT = []


def remember(value):
    KEPT.append(value)


def recall():
    return KEPT


def test_each_begins_as_it_is_told():
    with own_processes(1, remember, 7) as pool:
        assert pool.submit(recall).result() == [7]


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM"])
def test_they_end_with_whoever_began_them(how):
    command = [sys.executable, "-c", SCRIPT.format(how=how)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == -getattr(signal, how)
    until = time.monotonic() + 60
    while started(int(done.stdout)) is not None:
        assert time.monotonic() < until, "it is still there"
        time.sleep(0.1)
