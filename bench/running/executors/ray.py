"""Jobs as Ray tasks: on the cluster at ``--address``, or on one of this machine's own.

A task asks for the CPUs that the study gives a job, and for a GPU where the study computes on one. It runs
the command in a process of its own, so that neither Ray's thread counts nor an earlier job's memory are
the job's. The graph is walked here: a task is handed to Ray once all that it needs has ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from bench.errors import UserError
from bench.job import Job
from bench.planning.options import Options
from bench.running.executors import commands
from bench.running.executors.commands import (
    conclude,
    job_command,
    profile_command,
    run_command,
    stamps,
    thread_variable,
)
from bench.running.executors.graph import needs
from bench.study.store import Study

log = logging.getLogger(__name__)

RETRIES = 3
"""How often a task begins again whose node went away. A job that fails is a record, not retried."""
STORE_BYTES = 80 * 2**20
"""Ray's own shared memory, the least that it takes: jobs share files, not objects."""
SAVING_SECONDS, KNOCK_SECONDS = 30.0, 10.0


def engine(address: str | None) -> RayTasks:
    """Ray at ``address``, or a cluster of this machine's own."""
    return RayTasks(address)


@dataclass(frozen=True)
class RayTasks:
    """A Ray cluster, connected to while it is needed."""

    address: str | None = None

    def run(self, study: Study, jobs: Sequence[Job], options: Options) -> int:
        """Run ``jobs`` as their graph allows; the number of those that left no result."""
        gpus = _gpus(study)
        waiting = {job.id: job for job in jobs}
        before = stamps(study, jobs)
        needed = needs(study, jobs)
        running: dict[ray.ObjectRef, Job] = {}
        failures = started = 0
        with self._connected():
            _check_size(max(job.threads for job in jobs), gpus)
            try:
                while waiting or running:
                    unfinished = waiting.keys() | {job.id for job in running.values()}
                    for job in [j for j in waiting.values() if not needed[j.id] & unfinished]:
                        del waiting[job.id]
                        started += 1
                        log.info(f"[{started}/{len(jobs)}] {job.label}")
                        task = _task.options(num_cpus=job.threads, num_gpus=gpus, name=job.label)
                        running[task.remote(job_command(study, job, options), thread_variable())] = job
                    [ended], _ = ray.wait(list(running), num_returns=1)
                    job = running.pop(ended)
                    failures += not conclude(study, job, before[job.id], _ending(ended))
            finally:
                _stop(list(running))
        return failures

    def profile(self, study: Study) -> None:
        """Measure the study's networks on one node, all of whose CPUs the task asks for."""
        gpus = _gpus(study)
        with self._connected():
            sizes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            largest = max(sizes, key=lambda size: (size.get("GPU", 0) >= gpus, size.get("CPU", 0)))
            log.info("profiling on a node of the cluster")
            task = _task.options(num_cpus=largest["CPU"], num_gpus=largest.get("GPU", 0) if gpus else 0)
            reference = task.remote(profile_command(study), thread_variable())
            try:
                if ray.get(reference):
                    log.info("profiling failed; run_bench.py profile STUDY shows why")
            except ray.exceptions.RayError as error:
                log.info(f"profiling failed: {type(error).__name__}")
            finally:
                _stop([reference])

    @contextlib.contextmanager
    def _connected(self) -> Iterator[None]:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self.address:
                _knock(self.address)
                ray.init(self.address, **quiet)
            else:
                ray.init("local", include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            place = f"--address {self.address}" if self.address else "--executor ray"
            raise UserError(f"{place}: no Ray cluster answers ({error})") from None
        try:
            yield
        finally:
            ray.shutdown()


@ray.remote(max_retries=RETRIES, retry_exceptions=False, max_calls=1)
def _task(command: Sequence[str], threads: str | None) -> int:
    """The command on some node, with ``OMP_NUM_THREADS`` as the user has it."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return run_command(command, environment | ({} if threads is None else {"OMP_NUM_THREADS": threads}))


for module in (commands, sys.modules[__name__]):
    ray.cloudpickle.register_pickle_by_value(
        module
    )  # a worker may find another copy of the package, or none


def _knock(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there.

    Raises:
        OSError: nobody listens.
    """
    host, sign, port = address.removeprefix("ray://").rpartition(":")
    if sign and port.isdigit():
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


def _gpus(study: Study) -> int:
    return int((study.settings() or {}).get("device") == "cuda")


def _ending(ended: ray.ObjectRef) -> str:
    try:
        return f"its process ended with exit code {ray.get(ended)}"
    except ray.exceptions.RayError as error:  # its machine went too often
        return type(error).__name__


def _check_size(threads: int, gpus: int) -> None:
    sizes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(size.get("CPU", 0) >= threads and size.get("GPU", 0) >= gpus for size in sizes):
        log.info(f"no node has the {threads} CPUs and {gpus} GPUs of a job yet: waiting for one that has")


def _stop(references: list[ray.ObjectRef]) -> None:
    """Jobs are asked to stop, which they do after saving; of ended ones Ray is not asked (it may abort)."""
    if not references:
        return
    _, running = ray.wait(references, num_returns=len(references), timeout=0)
    for reference in running:
        ray.cancel(reference)
    if running:
        log.info("stopping: what runs on the cluster saves; Ctrl-C again does not wait for it")
        ray.wait(running, num_returns=len(running), timeout=SAVING_SECONDS)
