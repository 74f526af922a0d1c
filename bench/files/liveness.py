"""Which process is which, and whether it is alive: on this machine only its kernel knows."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path

Process = tuple[int, str]
"""A pid and when that process started: pids are used again."""


@functools.cache
def here() -> str:
    """The machine since its start, and the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def is_running(process: Process) -> bool:
    """Whether that very process is alive on this machine."""
    return started(process[0]) == process[1]


def started(pid: int) -> str | None:
    """When the process of that pid started, in any unit; None if there is none."""
    if not Path("/proc/self/stat").exists():
        call = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(call, check=False, capture_output=True, text=True).stdout.strip() or None
    try:
        # The name, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
