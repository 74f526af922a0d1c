"""Jobs one after the other, each in a process of its own on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.spec import Job
from bench.store import Study, write_json

ENTRY = Path(__file__).resolve().parent.parent.parent / "run_bench.py"


def run(
    study: Study, jobs: Sequence[Job], flags: Sequence[str], say: Callable[[str], None]
) -> int:
    """Run ``jobs`` in their order; the number that failed.

    A job that ends badly leaves a record that says so, and the next one starts; students of a
    failed teacher are ``blocked``.
    """
    failures = 0
    for number, job in enumerate(jobs, start=1):
        say(f"[{number}/{len(jobs)}] {job.label}")
        missing = [t for t in job.teachers if not study.has_weights(t)]
        if missing:
            reason = f"teacher {study.job(missing[0]).label} has no trained network"
            _fail(study, job, "blocked", reason)
            say(f"  blocked: {reason}")
            failures += 1
            continue
        command = [sys.executable, str(ENTRY), "job", str(study.root), job.id, *flags]
        code = subprocess.run(command, check=False).returncode
        record = study.record(job.id)
        if code:
            failures += 1
            if record is None:
                _fail(study, job, "failed", f"the job's process ended with exit code {code}")
        elif record is not None:
            say(f"  done: validation Dice {record['val']['dice']:.4f}")
    return failures


def _fail(study: Study, job: Job, status: str, reason: str) -> None:
    record = {"id": job.id, "status": status, "reason": reason, "job": job.as_dict()}
    write_json(study.path("records", job.id), record)
