"""Where processes of our own come from, and how they end."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import brief

log = logging.getLogger(__name__)

T = TypeVar("T")

PREPARE: list[tuple[Any, ...]] = []
"""Functions with their arguments that every process of our own calls first, for it shares nothing."""
BEFORE = "LIGHTSEG_ENVIRONMENT_BEFORE"
"""A variable of the environment: what others were before the server was started."""
PRELOAD = [
    *("bench.compute.fork_server", "torch", "torch._inductor.config", "safetensors.torch", "monai.metrics"),
    "bench.running.job_process",
]


def process_context() -> ForkServerContext:
    """Processes forked from a server that has imported the libraries and done nothing else.

    They start at once, share nothing, and their memory can be told from the libraries'. The server imports
    the code that this process runs, whatever lies in the working directory and whatever is installed.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD if _can_pass_on_path() else [])
    with _path_in_environment():
        forkserver.ensure_running()
    return context


def search_path() -> str:
    """Where this process finds modules, as ``PYTHONPATH`` has it."""
    return os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if Path(folder).exists())


def _can_pass_on_path() -> bool:
    """Whether ``PYTHONPATH`` says all; if not, every process imports for itself, which takes longer."""
    return not sys.flags.ignore_environment and not any(os.pathsep in folder for folder in sys.path)


@contextmanager
def _path_in_environment() -> Iterator[None]:
    """Let a Python that is started meanwhile search where this one does, and not in its working directory.

    The server imports before it is told ``sys.path`` (Python 3.11 does not tell it at all). It puts its
    environment back before it imports anything else.
    """
    own = {"PYTHONPATH": search_path(), "PYTHONSAFEPATH": "1"}
    before = json.dumps({name: os.environ.get(name) for name in own})
    os.environ |= own | {BEFORE: before}
    try:
        yield
    finally:
        put_environment_back()


def put_environment_back() -> None:
    """Undo what a server is started with, in it and in the process that has started it."""
    for name, value in json.loads(os.environ.pop(BEFORE, "{}")).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def mortal() -> None:
    """Let this process end with the one that began it, however that ends, and by SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server ignores it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def own_processes(
    count: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """So many processes that end with this one; each calls ``begin(*arguments)`` first."""
    return ProcessPoolExecutor(count, process_context(), _begin, (tuple(PREPARE), begin, arguments))


def in_own_process(function: Callable[..., T], *arguments: Any) -> T | None:
    """What ``function(*arguments)`` gives in a fresh process; None where it died or raised (told)."""
    with own_processes(1) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return None
        except Exception as error:
            log.warning(f"{function.__name__}: {brief(error)}")
            return None


def _begin(prepare: tuple[tuple, ...], begin: Callable[..., None] | None, arguments: tuple) -> None:
    mortal()
    for function, *own in prepare:
        function(*own)
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
