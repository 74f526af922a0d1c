"""The command line, forked from a process that has imported everything: it starts at once.

Reads one JSON object a line, ``{"arguments": [...], "log": path, "die": [pattern, n]}``; answers with the
pid of the command, which leads a process group of its own, and when it has ended with its exit code.
With ``die`` the command kills its whole group in the middle of writing: at the n-th time that a file or
folder whose path matches the pattern is brought to the disk.
"""

import fnmatch
import itertools
import json
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path

import monai.metrics  # noqa: F401
import torch._inductor.config  # noqa: F401

import bench.commands
import bench.report.figures.figures
import bench.report.figures.style
import bench.report.report
from bench.cli import main

figures = bench.report.figures.figures._figures


def command(arguments, log, die=None):
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    fork = multiprocessing.get_context("fork")
    multiprocessing.get_context = lambda method=None: fork  # jobs start at once, too
    forkserver.ensure_running = lambda: None
    bench.planning.session.usable_cores = lambda: 1
    bench.commands.profile = lambda *_: []  # takes seconds and is no part of this
    # Two figures in one format are as good to be killed at as all of them.
    bench.report.figures.style.FORMATS = (".png",)
    bench.report.figures.figures._figures = lambda *frames: dict(list(figures(*frames).items())[:2])
    if die:
        os.fsync = dying(*die)
    sys.argv = ["run_bench.py", *arguments]
    main()


def dying(pattern, number, real=os.fsync):
    count = itertools.count(1)

    def fsync(handle):
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        real(handle)
        if fnmatch.fnmatchcase(name, pattern) and next(count) == number:
            os.killpg(0, signal.SIGKILL)

    return fsync


def serve():
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            command(**json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
