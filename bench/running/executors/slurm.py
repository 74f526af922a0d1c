"""Jobs as Slurm arrays, through submitit: one array for each level of the graph.

All levels are submitted at once, each to begin ``afterany`` the one before: the arrays go on if this
process goes away. A job whose teacher failed says itself that it is blocked. What Slurm preempts, or stops
at its time limit, is queued again and goes on where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import submitit

from bench.errors import UserError
from bench.files.stopping import Stopped
from bench.job import Job
from bench.planning.options import Options
from bench.running.executors import commands
from bench.running.executors.commands import conclude, job_command, profile_command, run_command, stamps
from bench.running.executors.graph import levels
from bench.study.store import Study

log = logging.getLogger(__name__)

OPTIONS = ("partition", "time", "gpus", "mem", "account", "qos", "constraint", "exclude", "nodelist")
PATTERNS = {
    "time": (r"\d+|(\d+-)?\d{1,2}(:\d{2}){1,2}|\d+-\d{1,2}", "minutes or [D-]HH:MM:SS, e.g. 12:00:00"),
    "gpus": (r"([\w.-]+:)?\d+", "a number or TYPE:NUMBER, e.g. 1"),
    "mem": (r"\d+[KMGT]?B?", "megabytes or with a unit, e.g. 32G"),
}
SLOWEST_POLL = 30.0
"""Seconds between two looks at the queue of jobs that take hours."""


@dataclass(frozen=True)
class Command:
    """Runs in a job of Slurm; ``checkpoint`` is what submitit asks for to queue it again."""

    command: Sequence[str]

    def __call__(self) -> int:
        """Its exit code."""
        return run_command(self.command)

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """The same again: a job goes on at its last epoch by itself."""
        return submitit.helpers.DelayedSubmission(self)


for module in (commands, sys.modules[__name__]):
    cloudpickle.register_pickle_by_value(module)  # a node may find another copy of the package, or none


def engine(text: str | None) -> SlurmArrays:
    """Slurm with the options of ``--slurm``.

    Raises:
        UserError: an unknown or bad option, no time limit, or no Slurm here.
    """
    options = parse(text or "")
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "--executor slurm: no sbatch and srun here; start it on a machine that submits jobs"
        )
    return SlurmArrays(options)


def parse(text: str) -> dict[str, str]:
    """``partition=gpu,time=12:00:00`` as a dict; a comma within brackets belongs to the value.

    Raises:
        UserError: not of that form, an unknown or repeated key, a bad value, or no time limit.
    """
    found: dict[str, str] = {}
    for part in re.split(r",(?![^\[]*\])", text) if text else []:
        key, sign, value = part.partition("=")
        if not sign or not value or key not in OPTIONS:
            raise UserError(f"--slurm {part!r}: must be KEY=VALUE, known keys: {', '.join(OPTIONS)}")
        if key in found:
            raise UserError(f"--slurm {part!r}: {key} is given twice")
        pattern, right = PATTERNS.get(key, (r"[\w.,:@&|*+\[\]-]+", "a name"))
        if not re.fullmatch(pattern, value):
            raise UserError(f"--slurm {part!r}: {key} must be {right}")
        found[key] = value
    if "time" not in found:
        raise UserError("--slurm: name the time limit of a job, e.g. --slurm partition=gpu,time=12:00:00")
    return found


def minutes(text: str) -> int:
    """Whole minutes of a time as Slurm writes it: ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M[:S]``."""
    days, sign, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if sign:
        hours, mins, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, mins, seconds = parts
    else:
        hours, (mins, seconds) = 0, (*parts, 0)[:2]
    return max(1, (int(days or 0) * 24 + hours) * 60 + mins + (seconds > 0))


@dataclass(frozen=True)
class SlurmArrays:
    """The options of ``--slurm``."""

    options: dict[str, str]

    def run(self, study: Study, jobs: Sequence[Job], options: Options) -> int:
        """Submit ``jobs``, wait for them; the number of those that left no result."""
        before = stamps(study, jobs)
        name = _name(study)
        if earlier := _queued(name):
            log.info(f"waiting for Slurm jobs {', '.join(sorted(earlier))} of an earlier call")
            while _queued(name):
                time.sleep(SLOWEST_POLL / 10)
        todo = [job for job in jobs if study.stamp(job.id) == before[job.id]]
        arrays: list[str] = []
        try:
            for level in levels(study, todo):
                executor = self._executor(study, max(job.threads for job in level))
                if arrays:
                    executor.update_parameters(dependency=f"afterany:{arrays[-1]}")
                commands = [Command(job_command(study, job, options)) for job in level]
                arrays.append(_submit(executor, commands))
                log.info(f"Slurm job {arrays[-1]}: " + ", ".join(job.label for job in level))
            return self._wait(study, jobs, before, set(arrays))
        except BaseException as reason:
            _cancel(arrays, reason)
            raise

    def profile(self, study: Study) -> None:
        """Measure the study's networks in a job that has its node for itself."""
        executor = self._executor(study, None)
        array = _submit(executor, [Command(profile_command(study))])
        log.info(f"profiling: Slurm job {array}")
        try:
            self._wait(study, [], {}, {array})
        except BaseException as reason:
            _cancel([array], reason)
            raise

    def _executor(self, study: Study, threads: int | None) -> submitit.SlurmExecutor:
        """What submits jobs of so many threads; None: of a whole node."""
        executor = submitit.SlurmExecutor(_folder(study))
        options: dict[str, Any] = dict(self.options)
        gpus = options.pop("gpus", "1" if (study.settings() or {}).get("device") == "cuda" else "0")
        if gpus != "0":
            options["gpus_per_node"] = gpus
        # srun takes its share of CPUs from its own options only.
        share: dict[str, Any] = (
            {"exclusive": True, "srun_args": ["--cpu-bind=none"]}
            if threads is None
            else {"cpus_per_task": threads, "srun_args": [f"--cpus-per-task={threads}"]}
        )
        options |= share | {"time": minutes(options["time"]), "job_name": _name(study)}
        executor.update_parameters(stderr_to_stdout=True, **options)
        return executor

    def _wait(
        self,
        study: Study,
        jobs: Sequence[Job],
        before: dict[str, int | None],
        arrays: set[str],
    ) -> int:
        """Say what ends until no job of ``arrays`` is queued; the number of jobs without a result."""
        began, failures, waiting = time.monotonic(), 0, list(jobs)
        hint = f"cancelled, or see its output in {_folder(study)}"
        while True:
            over = not _queued(_name(study)) & arrays
            for job in list(waiting):
                if over or study.stamp(job.id) != before[job.id]:
                    waiting.remove(job)
                    failures += not conclude(study, job, before[job.id], hint)
            if over:
                return failures
            time.sleep(min(SLOWEST_POLL, max(1.0, (time.monotonic() - began) / 20)))


def _submit(executor: submitit.SlurmExecutor, commands: list[Command]) -> str:
    """The id of the new array."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # sbatch's, which is in the error
            submitted = executor.submit_array(commands)
    except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
        raise UserError(f"--slurm: Slurm refuses the jobs ({error})") from None
    return str(submitted[0].job_id).split("_", 1)[0]


def _queued(name: str) -> set[str]:
    """The ids of this user's arrays of that name that are not over; waits while Slurm doesn't answer."""
    command = ["squeue", "--me", "--noheader", f"--name={name}", "--format=%F"]
    while True:
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode == 0:
            return set(answer.stdout.split())
        time.sleep(SLOWEST_POLL)


def _cancel(arrays: Sequence[str], reason: BaseException) -> None:
    """Ctrl-C and mistakes take the jobs along. SIGTERM does not: they go on, and the next call waits."""
    if isinstance(reason, Stopped) and reason.code == 128 + signal.SIGTERM:
        log.info(f"Slurm jobs {', '.join(arrays)} go on; the next call waits for them")
    elif arrays:
        log.info(f"cancelling Slurm jobs {', '.join(arrays)}; the next call goes on")
        subprocess.run(["scancel", *arrays], check=False)


def _name(study: Study) -> str:
    """What the study's jobs are called in Slurm."""
    return "lightseg-" + hashlib.sha256(str(study.root.resolve()).encode()).hexdigest()[:12]


def _folder(study: Study) -> Path:
    """Where submitit keeps what it needs, and the jobs' output: outside the study, on a shared disk."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "lightseg-bench" / "slurm" / _name(study)
