"""How many cores this process may use, whatever the machine has."""

from __future__ import annotations

import math
import os

from bench.compute.control_groups import stated


def usable_cores() -> int:
    """Cores of its affinity, and no more than the quota of its control groups, rounded up; 1 at least."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for path, text in stated("cpu.max", "cpu", "cpu.cfs_quota_us"):
        quota, _, period = text.partition(" ")
        if not period and (path.with_name("cpu.cfs_period_us")).is_file():
            period = path.with_name("cpu.cfs_period_us").read_text().strip()
        if quota.isdigit() and period.isdigit() and int(period):  # else "max", or -1
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores)
