"""Failures are values: a job that fails leaves a record that says why, and a log; the others go on."""

from __future__ import annotations

import contextlib
import re
import signal
import site
import socket
import tempfile
import traceback
from pathlib import Path

import torch

from bench.errors import UserError
from bench.files import lease
from bench.files.atomic import write_text
from bench.job import Job
from bench.running.record import failure_record
from bench.study.store import Study
from bench.training.loop import Diverged

ATTEMPTS = 2
"""How often a job is begun whose process dies and does not say why."""
CODE = Path(__file__).resolve().parents[2]


def fail(study: Study, job: Job, status: str, reason: str, log: str = "") -> None:
    """Write a record that says why there is no result, and a log if there is more to say.

    Results that are there stay: of a done job whose next step failed (test scores, lost weights) the record
    gets a ``failure``.
    """
    record = failure_record(job, status, reason)
    if log:
        path = study.path("logs", job.id)
        write_text(path, log)
        record["log"] = path.relative_to(study.root).as_posix()
    old = study.record(job.id)
    if old is not None and old["status"] == "done":
        record = {**old, "failure": f"{status}, {reason}"}
    study.write_record(record)


def begin_again(study: Study, job: Job) -> None:
    """Forget that the job failed; what it has of results stays."""
    record = study.record(job.id)
    if record is not None and record["status"] != "done":
        study.path("records", job.id).unlink()


def succeeded(study: Study, job: Job) -> None:
    """Forget what failed before."""
    study.path("logs", job.id).unlink(missing_ok=True)
    record = study.record(job.id)
    if record is not None and "failure" in record:
        study.write_record({k: v for k, v in record.items() if k != "failure"})


def could_not_begin(study: Study, job: Job, error: Exception) -> None:
    """Record why a process ends before its job has begun; not where another process is at the job."""
    if lease.holder(study.root, job.id) is None:
        with contextlib.suppress(UserError):  # a full disk; what is printed has to do
            fail(study, job, "failed", reason(error, study), traceback_of(error, study))


def reason(error: BaseException, study: Study) -> str:
    """Why a job failed, in one line without absolute paths."""
    first = " ".join(str(error).split("\n", 1)[0].split())
    if out_of_memory(error):
        text = f"out of memory ({first}); --micro-batch or --memory-gb make a study of smaller steps"
    elif isinstance(error, Diverged):
        text = f"diverged: {first}"
    elif isinstance(error, UserError):
        text = first
    else:
        text = f"{type(error).__name__}: {first}"
    return without_places(text, study.root)


def traceback_of(error: BaseException, study: Study) -> str:
    """The traceback, without absolute paths and this machine's name."""
    return without_places("".join(traceback.format_exception(error)), study.root)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, the device's, or the CPU allocator's, which is a RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def ended(code: int) -> str:
    """How a process ended that left no record."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    name = {s.value: s.name for s in signal.Signals}.get(-code, f"signal {-code}")
    hint = ", as the system does when memory is short" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"


def without_places(text: str, root: Path) -> str:
    """Paths relative to the study, to the code or to the packages, others by their last part only."""
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    roots = [str(root), str(root.resolve()), str(CODE), *packages, tempfile.gettempdir(), str(Path.home())]
    for place in sorted((r for r in roots if r.startswith("/") and len(r) > 1), key=len, reverse=True):
        text = text.replace(f"{place}/", "")
    text = re.sub(r"(?<![\w.~/-])/(?!/)(?:[^\s/'\":,;()<>]+/)*([^\s/'\":,;()<>]+)", r"\1", text)
    host = socket.gethostname()
    return re.sub(rf"\b{re.escape(host)}\b", "this host", text) if len(host) > 3 else text
