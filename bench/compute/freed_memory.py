"""Memory that tensors give back: kept for the next step where there is plenty of it, or returned."""

from __future__ import annotations

import ctypes
import platform

import torch

from bench.compute.memory import limits_mb, peak_memory_mb

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt``."""
SPARE = 3
"""So many times the peak must be there: what is kept is in pieces, which raised peaks 1.1 to 1.7 times."""


def keep_freed_memory() -> None:
    """From now on this process keeps what tensors give back for the next step; nothing without glibc.

    Left to itself glibc returns large tensors to the system, which fills their pages with zeros in the next
    step: at 192² a fifth of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_MAX, 0)


def give_back_freed_memory() -> None:
    """Return to the system what this process has freed and still holds; nothing without glibc."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def has_plenty_of_memory(processes: int) -> bool:
    """Whether ``processes`` like this one could each take ``SPARE`` times its peak so far."""
    return SPARE * processes * peak_memory_mb(torch.device("cpu")) < min(limits_mb())
