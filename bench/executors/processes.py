"""Where processes of our own come from."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

PRELOAD = ["bench.executors.server", "torch", "safetensors.torch", "monai.metrics", "bench.job"]


def process_context() -> ForkServerContext:
    """Processes forked from a server that has imported the libraries and done nothing else.

    They start at once, share nothing, and their memory can be told from the libraries'.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context
