"""Where a record comes from: commit, versions, machine. In the record, never in a job's id."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bench.job import Job

PACKAGES = ("torch", "numpy", "pandas", "nibabel", "fvcore", "monai", "safetensors")


def provenance(job: Job | None = None) -> dict[str, Any]:
    """Commit, package versions, machine, a job's data by fingerprint; no host name and no path."""
    data = {} if job is None else {"data": job.data, "split": job.split}
    return {
        **data,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """Processor, cores, capability and GPU."""
    return {
        "cpu": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the code, with ``+`` where the code differs from it."""
    here = Path(__file__).resolve().parents[2]
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        code = ["architectures", "bench", "methods"]
        return head + ("+" if _git(here, "status", "--porcelain", "--", *code) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # Without a lock: one that is killed would leave it behind.
    return subprocess.run(
        ["git", "--no-optional-locks", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
