"""One attempt at a job, by whatever executor: its lease, its run, and a record of whatever comes out."""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path

from bench import failures, lease, stopping
from bench import job as job_module
from bench.errors import UserError
from bench.executors.graph import blocked, stamp
from bench.failures import ATTEMPTS, begin_again, fail, failure, reason, succeeded
from bench.gate import CannotLearn
from bench.phases import Phases
from bench.progress import Progress, log_to
from bench.session import Wishes, open_session
from bench.spec import Job
from bench.store import Study


def run_job(
    root: Path,
    job_id: str,
    data: Path | None,
    device: str,
    targets_gb: float,
    no_test: bool,
    quiet: bool = False,
    log: bool = False,
) -> int:
    """Run one planned job in this process; the exit code.

    ``quiet``: other jobs print beside it; ``log``: what it prints goes to a file of its own.

    What every executor runs: it takes the job's lease, waits for whoever else has it, and leaves a record
    of whatever comes out. Stopped by a signal or killed, it leaves none.
    """
    study = Study(root)
    job = study.job(job_id)
    if log:
        log_to(study.path("logs", job.id).with_suffix(".out"))
    progress = Progress(
        sys.stdout,
        sys.stdout.isatty() and not quiet,
        job.label if quiet and not log else "",
        study.path("progress", job.id),
    )
    before = stamp(study, job_id)
    tell = "" if quiet else "stopping after this epoch; Ctrl-C again stops at once"
    try:
        with stopping.after_saving(tell), lease.waited_for(root, job_id, progress.say) as held:
            if stamp(study, job_id) in (None, before):  # else it was done while this process waited
                _run(study, job, Wishes(job.dataset, data, device), targets_gb, no_test, held, progress)
    except stopping.Stopped as stop:
        if not quiet:
            progress.say(f"{stop}; the same command goes on")
        return stop.code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except lease.Lost as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        progress.close()
    why = failure(study.record(job_id))
    if why and not quiet:
        print(f"{job.label}: {why}", file=sys.stderr)
    return 1 if why else 0


def _run(
    study: Study,
    job: Job,
    wishes: Wishes,
    targets_gb: float,
    no_test: bool,
    held: lease.Lease,
    progress: Progress,
) -> None:
    """Run a job whose lease is ``held``; whatever goes wrong with it ends in its record.

    Raises:
        UserError: not the job's fault: its study and its data can't be opened as asked; no record.
    """
    record = study.record(job.id) or {}
    finished = record.get("status") == "done" and (no_test or "test" in record)
    if finished and study.has_weights(job.id) and not study.must_mend(job.id):
        return
    if held.deaths >= ATTEMPTS:
        fail(study, job, "failed", f"its process died {held.deaths} times without a reason")
        return
    _await_teachers(study, job, progress)
    phases = Phases()
    with phases.time("decoding"):
        session = open_session(study.root, wishes)
    if why := blocked(study, job):
        fail(study, job, "blocked", why)
        return

    def on_epoch(phase: str, row: dict[str, float]) -> None:
        progress.epoch(phase, row)
        stopping.check()
        held.check()

    stopping.check()
    begin_again(study, job)
    try:
        job_module.run(
            study,
            job,
            session.prepared(job.image_size, job.slices),
            session.device,
            with_test=not no_test,
            targets_gb=targets_gb,
            on_epoch=on_epoch,
            say=progress.say,
            phases=phases,
        )
    except lease.Lost:
        raise
    except CannotLearn as error:
        fail(study, job, "cannot-learn", str(error))
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        fail(study, job, "failed", reason(error, study), failures.log(error, study))
    else:
        succeeded(study, job)


def _await_teachers(study: Study, job: Job, progress: Progress) -> None:
    """Wait for teachers that other processes are training now."""
    for teacher in job.teachers:
        while not study.has_weights(teacher) and (other := lease.holder(study.root, teacher)):
            progress.say(f"waiting for the teacher: {other} is at it")
            while lease.holder(study.root, teacher):
                stopping.check()
                time.sleep(lease.POLL_SECONDS)
