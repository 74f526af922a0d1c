"""Where processes of our own come from."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

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


def in_own_process(function: Callable[..., T], *arguments: Any) -> T | None:
    """What ``function(*arguments)`` gives in a fresh process, None where that died; it raises as usual."""
    with ProcessPoolExecutor(1, mp_context=process_context()) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return None
