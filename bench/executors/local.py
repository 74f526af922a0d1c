"""Jobs on this machine: ``workers`` at a time, each in a process of its own.

Processes are forked from a server that has imported the libraries and done nothing else, so that a
job starts at once and a job that dies takes only itself along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from bench.errors import UserError
from bench.executors.processes import process_context
from bench.job import targets_folder
from bench.spec import Job
from bench.store import Study

POLL_SECONDS = 0.1


def run(
    study: Study,
    jobs: Sequence[Job],
    start: Callable[..., int],
    flags: dict[str, Any],
    say: Callable[[str], None],
) -> int:
    """Run ``jobs`` in their order, as far as their teachers allow; the number that failed.

    ``start(root, job_id, quiet, **flags)`` runs one job in its process and returns the exit code. A job
    that ends badly leaves a record that says so, and the others go on; students of a failed teacher
    are ``blocked``.
    """
    workers = int((study.settings() or {}).get("workers", 1))
    context = process_context()
    waiting, running = list(jobs), dict[str, BaseProcess]()
    failures = started = 0
    try:
        while waiting or running:
            for job in list(waiting):
                if len(running) >= workers:
                    break
                own = [j for j in jobs if j.id in running]
                if not _ready(study, job, waiting, own):
                    continue
                waiting.remove(job)
                started += 1
                reason = _blocked(study, job)
                if reason:
                    failures += 1
                    fail(study, job, "blocked", reason)
                    say(f"[{started}/{len(jobs)}] {job.label}: blocked, {reason}")
                    continue
                say(f"[{started}/{len(jobs)}] {job.label}")
                arguments = (start, study.root, job.id, workers > 1, flags)
                running[job.id] = context.Process(target=_work, args=arguments)
                running[job.id].start()
            for job_id in [k for k, process in running.items() if not process.is_alive()]:
                process = running.pop(job_id)
                process.join()
                failures += not _finished(study, study.job(job_id), process.exitcode or 0, say)
            time.sleep(POLL_SECONDS)
    finally:
        for process in running.values():
            process.terminate()
            process.join()
    return failures


def fail(study: Study, job: Job, status: str, reason: str) -> None:
    """Write a record that says why there is no result."""
    record = {"id": job.id, "status": status, "reason": reason, "job": job.as_dict()}
    study.write_record(record)


def _work(start: Callable[..., int], root: Any, job_id: str, quiet: bool, flags: dict) -> None:
    try:
        code = start(root, job_id, quiet=quiet, **flags)
    except UserError:  # its record could not be written; nor can the parent's, which says so
        code = 2
    raise SystemExit(code)


def _ready(study: Study, job: Job, waiting: Sequence[Job], running: Sequence[Job]) -> bool:
    """Whether nothing that the job needs is still to come.

    Until a teacher's targets are recorded, one of its students goes first and records them.
    """
    unfinished = {j.id for j in (*waiting, *running)}
    if unfinished & set(job.teachers):
        return False
    siblings = [j for j in running if job.teachers and j.teachers == job.teachers]
    return not siblings or targets_folder(study, job).is_dir()


def _blocked(study: Study, job: Job) -> str:
    missing = [teacher for teacher in job.teachers if not study.has_weights(teacher)]
    return f"its teacher {study.job(missing[0]).label} has no trained network" if missing else ""


def _finished(study: Study, job: Job, code: int, say: Callable[[str], None]) -> bool:
    record = study.record(job.id)
    if code or record is None:
        if record is None or record["status"] == "done":
            fail(study, job, "failed", f"the job's process ended with exit code {code}")
        failed = study.record(job.id) or {}
        say(f"  {job.label}: {failed['status']}, {failed['reason']}")
        return False
    say(f"  {job.label}: done, validation Dice {record['val']['dice']:.4f}")
    return True
