"""Memory that tensors give back is kept for the next step, where the machine has plenty of it."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.memory import peak_memory_mb

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


def has_plenty_of_memory(processes: int) -> bool:
    """Whether ``processes`` like this one could each take ``SPARE`` times its peak so far."""
    return SPARE * processes * peak_memory_mb(torch.device("cpu")) < min(_memory_limits_mb())


def _memory_limits_mb() -> Iterator[float]:
    """The machine's memory, and what control groups (a container's, a scheduler's) leave of it."""
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, own = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root, name = Path("/sys/fs/cgroup"), "memory.max"
        if controllers:
            root, name = root / "memory", "memory.limit_in_bytes"
        folder = root / own.strip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(root) and (place / name).is_file():
                limit = (place / name).read_text().strip()
                if limit.isdigit():  # else "max"
                    yield int(limit) / 1e6
