"""Where processes of our own come from, and how they end."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

PRELOAD = [
    *("bench.compute.fork_server", "torch", "torch._inductor.config", "safetensors.torch", "monai.metrics"),
    "bench.running.job_process",
]


def process_context() -> ForkServerContext:
    """Processes forked from a server that has imported the libraries and done nothing else.

    They start at once, share nothing, and their memory can be told from the libraries'.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def mortal() -> None:
    """Let this process end with the one that began it, however that ends, and by SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server ignores it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def own_processes(
    count: int, begin: Callable[..., None] | None = None, *arguments: Any
) -> ProcessPoolExecutor:
    """So many processes that end with this one; each calls ``begin(*arguments)`` first."""
    return ProcessPoolExecutor(count, process_context(), _begin, (begin, arguments))


def in_own_process(function: Callable[..., T], *arguments: Any) -> T | None:
    """What ``function(*arguments)`` gives in a fresh process; None where it died or raised (told)."""
    with own_processes(1) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return None
        except Exception as error:
            log.warning(f"{function.__name__}: {type(error).__name__}: {error}")
            return None


def _begin(begin: Callable[..., None] | None, arguments: tuple) -> None:
    mortal()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
