"""What the process of a job does, whoever started it: lease, run, and a record of whatever comes out."""

from __future__ import annotations

import logging
import multiprocessing
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path

from bench import plugins
from bench.errors import UserError
from bench.files import lease, stopping
from bench.job import Job
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.running import failures
from bench.running.failures import ATTEMPTS, begin_again, fail, reason, succeeded
from bench.running.job import complete
from bench.study.progress import Progress, log_to
from bench.study.store import Study, failure
from bench.telling import told_to
from bench.training.can_learn import CannotLearn

log = logging.getLogger(__name__)


def run_job(root: Path, job_id: str, options: Options, quiet: bool = False, to_a_file: bool = False) -> int:
    """Run one planned job in this process; the exit code.

    ``quiet``: other jobs print beside it; ``to_a_file``: what it prints goes to a file of its own.

    What every executor runs: it takes the job's lease, waits for whoever else has it, and leaves a record
    of whatever comes out, also of what keeps the job from beginning. Stopped by a signal or killed, it
    leaves none.

    Raises:
        UserError: its plug-ins, its study or its data can't be opened as asked.
    """
    study = Study(root)
    job = study.job(job_id)
    if to_a_file:
        log_to(study.path("logs", job.id).with_suffix(".out"))
    try:
        return _run_planned(study, job, options, quiet, to_a_file)
    except Exception as error:
        if not _is_finished(study, job, options):
            failures.could_not_begin(study, job, error)
        raise


def _run_planned(study: Study, job: Job, options: Options, quiet: bool, to_a_file: bool) -> int:
    plugins.load(options.plugin)
    plugins.require(job, study.plugins())
    progress = Progress(
        sys.stdout,
        sys.stdout.isatty() and not quiet,
        job.label if quiet and not to_a_file else "",
        study.path("progress", job.id),
        options.epochs,
    )
    try:
        with told_to(progress.say):
            code = _under_lease(study, job, options, progress, quiet)
    finally:
        progress.close()
    if code is not None:
        return code
    why = failure(study.record(job.id))
    if why and not quiet:
        print(f"{job.label}: {why}", file=sys.stderr)
    return 1 if why else 0


def _under_lease(study: Study, job: Job, options: Options, progress: Progress, quiet: bool) -> int | None:
    """Run the job once it is ours; an exit code where it did not come to a record."""
    before = study.stamp(job.id)
    told_by_executor = quiet or multiprocessing.parent_process() is not None
    try:
        with stopping.after_saving(tell=not told_by_executor), lease.waited_for(study.root, job.id) as held:
            if study.stamp(job.id) in (None, before):  # else it was done while this process waited
                _run(study, job, options, held, progress)
    except stopping.Stopped as stop:
        if not quiet:
            progress.say(f"{stop}; the same command goes on")
        return stop.code
    except lease.Lost as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return None


def _run(study: Study, job: Job, options: Options, held: lease.Lease, progress: Progress) -> None:
    """Run a job whose lease is ``held``; whatever goes wrong with it ends in its record.

    Raises:
        UserError: not the job's fault: its study and its data can't be opened as asked.
    """
    if _is_finished(study, job, options):
        return
    if held.deaths >= ATTEMPTS:
        fail(study, job, "failed", f"its process died {held.deaths} times without a reason")
        return
    _await_needed(study, job)
    with progress.phases.time("decoding"):
        session = open_session(study.root, replace(options, dataset=job.dataset))
    if why := study.blocked(job):
        fail(study, job, "blocked", why)
        return
    progress.between_epochs += [lambda phase: stopping.check(), lambda phase: held.check()]
    stopping.check()
    begin_again(study, job)
    try:
        complete(session, job, options, progress)
    except lease.Lost:
        raise
    except CannotLearn as error:
        fail(study, job, "cannot-learn", str(error))
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        fail(study, job, "failed", reason(error, study), failures.traceback_of(error, study))
    else:
        succeeded(study, job)


def _is_finished(study: Study, job: Job, options: Options) -> bool:
    """Whether nothing of the job is left to do."""
    record = study.record(job.id) or {}
    scored = record.get("status") == "done" and (options.no_test or "test" in record)
    return bool(scored and study.has_weights(job.id) and not study.must_mend(job.id))


def _await_needed(study: Study, job: Job) -> None:
    """Wait for networks that other processes are making now."""
    for needed in job.needs:
        while not study.has_weights(needed) and (other := lease.holder(study.root, needed)):
            what = "source" if needed == job.source else "teacher"
            log.info(f"waiting for the {what}: {other} is at it")
            while lease.holder(study.root, needed):
                stopping.check()
                time.sleep(lease.POLL_SECONDS)
