"""Where a record comes from: code, versions, machine. In the record, never in a job's id."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from bench.job import Job
from bench.study.code import code

PACKAGES = ("torch", "numpy", "pandas", "nibabel", "fvcore", "monai", "safetensors")


def provenance(job: Job | None = None) -> dict[str, Any]:
    """Code, package versions, machine, a job's data by fingerprint; no host name and no path."""
    data = {} if job is None else {"data": job.data, "split": job.split}
    return {
        **data,
        **code(),
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
