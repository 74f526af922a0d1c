"""How much memory this process has used, and how much there is."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.compute.control_groups import stated


def peak_memory_mb(device: torch.device) -> float:
    """The most that this process has used so far: resident memory, or the GPU's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def reset_peak() -> float:
    """Start a new peak where the system can; the memory in use now, in MB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """The most memory that this process has held since ``reset_peak``, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return peak_memory_mb(torch.device("cpu"))


def limits_mb() -> Iterator[float]:
    """The machine's memory, and what control groups (a container's, a scheduler's) leave of it."""
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6
    for _, limit in stated("memory.max", "memory", "memory.limit_in_bytes"):
        if limit.isdigit():  # else "max"
            yield int(limit) / 1e6


def available_mb() -> float:
    """Memory that is free for this process; half of what there is where the system doesn't say."""
    there = min(limits_mb())
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    free = [int(line.split()[1]) / 1e3 for line in lines if line.startswith("MemAvailable")]
    return min(there, *free) if free else there / 2
