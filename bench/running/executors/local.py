"""Jobs on this machine: ``workers`` at a time, each in a process of its own; of several GPUs one a job.

A teacher may take the places of several jobs. Processes are forked from a server that has imported the
libraries and done nothing else, so that a job starts at once and a job that dies takes only itself along.
They end with the process that began them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.compute.device import visible_gpus
from bench.compute.processes import mortal, process_context
from bench.errors import UserError
from bench.files import lease, liveness, stopping
from bench.job import Job
from bench.planning.options import Options
from bench.running.executors.graph import places
from bench.running.failures import ATTEMPTS, ended, fail
from bench.running.record import ending
from bench.study.store import Study, failure

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
"""How often what other processes have done is looked at."""
PATIENCE_SECONDS = 5.0
"""How long a process that shall stop at once may take."""
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
USER_ERROR = 2


def run(
    study: Study,
    jobs: Sequence[Job],
    start: Callable[..., int],
    options: Options,
) -> int:
    """Run ``jobs`` in their order, as far as the networks that they need allow; the number that failed.

    ``start(root, job_id, options, quiet)`` runs one job in its process and returns the exit code. A job
    that ends badly leaves a record that says so, and the others go on; one whose process dies without a
    reason begins once more; what needs a failed one is ``blocked``. Jobs that another process is at
    are left to it.

    Raises:
        Stopped: a signal came; running jobs have saved their last epoch.
    """
    with stopping.kept() as signals:
        crew = Crew(study, list(jobs), start, options.of_a_job, signals)
        try:
            while crew.running or (crew.waiting and not signals):
                crew.collect()
                crew.begin()
                crew.pass_on()
                time.sleep(POLL_SECONDS)
        finally:
            crew.dismiss()
    if signals:
        raise stopping.Stopped(signals[0])
    return crew.failures


@dataclass
class Crew:
    """The processes of one ``run``, and what waits for them."""

    study: Study
    jobs: list[Job]
    start: Callable[..., int]
    options: Options
    signals: list[int]
    failures: int = 0
    running: dict[str, tuple[Job, BaseProcess, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.waiting = list(self.jobs)
        self._settings = self.study.settings() or {}
        self.free = _places(self._settings)
        self._quiet = len(self.free) > 1
        self._before = {job.id: self.study.stamp(job.id) for job in self.jobs}
        self._deaths: dict[str, int] = {}  # at each running job before it began
        self._announced: dict[str, int] = {}
        self._look_at = 0.0
        self._passed_on = 0
        self._kill_at = float("inf")

    def begin(self) -> None:
        """Start what can start now, and see what other processes have done."""
        if self.signals or not self.free or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        root = self.study.root
        profiling = lease.holder(root, "profile")
        if profiling and profiling.place == liveness.here():
            return
        for job in list(self.waiting):
            if not self.free:
                break
            if self.study.stamp(job.id) not in (None, self._before[job.id]):
                self.waiting.remove(job)
                self._finished(job, " (by another process)")
            elif not self._is_ready(job):
                continue
            elif other := lease.holder(root, job.id):
                if job.id not in self._announced:
                    self._announce(job, f": left to {other}")
            elif self._takes(job) > len(self.free):
                break  # a later job would take what it waits for
            else:
                self.waiting.remove(job)
                self._start(job)

    def collect(self) -> None:
        """See which processes have ended, and how."""
        for job, process, taken in list(self.running.values()):
            if process.is_alive():
                continue
            process.join()
            del self.running[job.id]
            self.free += taken
            self._look_at = 0.0
            code = process.exitcode or 0
            recorded = self.study.stamp(job.id) not in (None, self._before[job.id])
            if recorded or (code == 0 and self.study.record(job.id)):
                self._finished(job)
            elif self.signals or lease.holder(self.study.root, job.id):
                self.waiting.insert(0, job)
            else:
                self._died(job, code)

    def pass_on(self) -> None:
        """Signals reach the jobs once each."""
        for signum in self.signals[self._passed_on :]:
            self._passed_on += 1
            if self.running and self._passed_on == 1:
                log.info(stopping.AFTER_SAVING)
            at_once = signum == signal.SIGINT and self._passed_on > 1
            if self.running and at_once and self._passed_on == 2:
                log.info(stopping.AT_ONCE)
            grace = 0.0 if at_once else stopping.GRACE_SECONDS
            if at_once or signum == signal.SIGTERM:
                self._kill_at = min(self._kill_at, time.monotonic() + grace + PATIENCE_SECONDS)
            for _, process, _ in self.running.values():
                if process.is_alive() and process.pid:
                    os.kill(process.pid, signum)
        if time.monotonic() > self._kill_at:
            for _, process, _ in self.running.values():
                process.kill()

    def dismiss(self) -> None:
        """Where something went wrong here: no process stays behind."""
        for _, process, _ in self.running.values():
            process.terminate()
        for _, process, _ in self.running.values():
            process.join(stopping.GRACE_SECONDS)
            process.kill()
            process.join()

    def _is_ready(self, job: Job) -> bool:
        """Whether nothing that the job needs is still to come.

        Until a teacher's targets are recorded, one of its students goes first and records them.
        """
        running = [one for one, _, _ in self.running.values()]
        if {j.id for j in (*self.waiting, *running)} & set(job.needs):
            return False
        folder = self.study.targets_folder(job)
        alike = (job.taught and one.taught and self.study.targets_folder(one) == folder for one in running)
        return folder.is_dir() or not any(alike)

    def _takes(self, job: Job) -> int:
        return places(job.threads, self._settings)

    def _start(self, job: Job) -> None:
        self._announce(job)
        if why := self.study.blocked(job):
            fail(self.study, job, "blocked", why)
            self._finished(job)
            return
        self._deaths[job.id] = lease.deaths(self.study.root, job.id)
        taken = [self.free.pop(0) for _ in range(self._takes(job))]
        arguments = (self.start, self.study.root, job.id, self.options, self._quiet, taken[0])
        process = process_context().Process(target=_work, args=arguments)
        process.start()
        self.running[job.id] = (job, process, taken)

    def _announce(self, job: Job, more: str = "") -> None:
        number = self._announced.setdefault(job.id, len(self._announced) + 1)
        log.info(f"[{number}/{len(self.jobs)}] {job.label}{more}")

    def _finished(self, job: Job, where: str = "") -> None:
        record = self.study.record(job.id) or {}
        self.failures += bool(failure(record))
        log.info(f"  {job.label}: {ending(record)}{where}")

    def _died(self, job: Job, code: int) -> None:
        """Its process has left no record: it begins once more, or that is enough of it."""
        root = self.study.root
        why = "its process was stopped from outside" if code in STOPPED else ended(code)
        if lease.deaths(root, job.id) == self._deaths[job.id]:  # it died before it had its lease
            lease.note_death(root, job.id)
        deaths = lease.deaths(root, job.id)
        if deaths < ATTEMPTS:
            log.info(f"  {job.label}: {why}; it begins once more")
            self.waiting.insert(0, job)
            return
        lease.forget(root, job.id)
        fail(self.study, job, "failed", f"{why}, {deaths} times in a row")
        self._finished(job)


def _work(
    start: Callable[..., int], root: Path, job_id: str, options: Options, quiet: bool, place: str
) -> None:
    mortal()
    if place:
        os.environ["CUDA_VISIBLE_DEVICES"] = place
    try:
        code = start(root, job_id, options, quiet=quiet)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = USER_ERROR
    raise SystemExit(code)


def _places(settings: dict[str, Any]) -> list[str]:
    """One entry a job at a time: the GPU it shall see, empty where there is no choice."""
    workers = int(settings.get("workers", 1))
    gpus = visible_gpus() if settings.get("device") == "cuda" else []
    if len(gpus) < 2:
        return [""] * workers
    return [gpus[k % len(gpus)] for k in range(max(workers, len(gpus)))]
