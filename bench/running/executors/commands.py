"""What clusters run: the commands that a person would type, with the paths that all machines share.

A command runs the code that this process runs. It finds modules where this one does, and not in the
directory that a cluster happens to start it in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from bench import plugins
from bench.compute.processes import search_path
from bench.job import Job
from bench.planning.options import Options
from bench.running.record import ending
from bench.study.store import Study, failure

log = logging.getLogger(__name__)

ENTRY: Sequence[str] = ("-P", "-m", "bench")
"""What Python runs; ``-P``: the working directory is not searched."""
PATH = search_path()


def job_command(study: Study, job: Job, options: Options) -> list[str]:
    """``python -m bench job STUDY ID`` with the flags that jobs are told."""
    words = options.of_a_job.words()
    return [sys.executable, *ENTRY, "job", str(study.root.resolve()), job.id, *words]


def profile_command(study: Study) -> list[str]:
    """``python -m bench profile STUDY``."""
    return [sys.executable, *ENTRY, "profile", str(study.root.resolve()), *plugins.words()]


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run it to its end; the exit code.

    On Linux it dies with this process, so that it does not go on beside whoever does its work then. Where
    this process is asked to stop, so is the command, which saves first. SIGUSR2 is not for it: submitit
    uses that between Slurm and itself.
    """
    own = dict(os.environ if environment is None else environment)
    own["PYTHONPATH"] = os.pathsep.join(filter(None, (PATH, own.get("PYTHONPATH"))))
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    ours = signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # what is ignored stays so in the command
    try:
        process = subprocess.Popen([*guard, *command], env=own)
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


def stamps(study: Study, jobs: Sequence[Job]) -> dict[str, int | None]:
    """The stamps of the jobs' records before they run, for ``conclude``."""
    return {job.id: study.stamp(job.id) for job in jobs}


def conclude(study: Study, job: Job, before: int | None, hint: str) -> bool:
    """Say how a job has ended; whether with a result.

    ``before`` is its record's stamp at the start, ``hint`` says what to think if it left no record.
    """
    record = study.record(job.id) if study.stamp(job.id) != before else None
    if record is None:
        log.info(f"  {job.label}: no result ({hint}); the next call runs it")
        return False
    log.info(f"  {job.label}: {ending(record)}")
    return not failure(record)
