"""What clusters run: the commands that a person would type, with the paths that all machines share."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
from bench.executors.graph import stamp
from bench.failures import failure
from bench.spec import Job
from bench.store import Study

ENTRY = Path(bench.__file__).resolve().parent.parent / "run_bench.py"


def job_command(study: Study, job: Job, flags: Mapping[str, Any]) -> list[str]:
    """``run_bench.py job STUDY ID`` with ``flags``, whose names are the command line's."""
    command = [sys.executable, str(ENTRY), "job", str(study.root.resolve()), job.id]
    for name, value in flags.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            command.append(option)
        elif value is not None and value is not False:
            command += [option, str(value.resolve() if isinstance(value, Path) else value)]
    return command


def profile_command(study: Study) -> list[str]:
    """``run_bench.py profile STUDY``."""
    return [sys.executable, str(ENTRY), "profile", str(study.root.resolve())]


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run it to its end; the exit code.

    On Linux it dies with this process, so that it does not go on beside whoever does its work then. Where
    this process is asked to stop, so is the command, which saves first. SIGUSR2 is not for it: submitit
    uses that between Slurm and itself.
    """
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    ours = signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # what is ignored stays so in the command
    try:
        process = subprocess.Popen(
            [*guard, *command], env=None if environment is None else dict(environment)
        )
    finally:
        signal.signal(signal.SIGUSR2, ours)
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(1.0)  # Ray's way to stop a task can't interrupt a wait without an end
    except BaseException:
        process.terminate()
        process.wait()
        raise


def thread_variable() -> str | None:
    """``OMP_NUM_THREADS`` as the user has it: clusters set their own, and the study has its threads."""
    return os.environ.get("OMP_NUM_THREADS")


def conclude(study: Study, job: Job, before: int | None, hint: str, say: Callable[[str], None]) -> bool:
    """Say how a job has ended; whether with a result.

    ``before`` is its record's stamp at the start, ``hint`` says what to think if it left none.
    """
    record = study.record(job.id) if stamp(study, job.id) != before else None
    if record is None:
        say(f"  {job.label}: no result ({hint}); the next call runs it")
    elif why := failure(record):
        say(f"  {job.label}: {why}")
    else:
        say(f"  {job.label}: done, validation Dice {record['val']['dice']:.4f}")
        return True
    return False
