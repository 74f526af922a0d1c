"""Which device a study computes on, and reproducible algorithms there."""

from __future__ import annotations

import os

import torch

from bench.errors import UserError


def choose_device(wish: str, elsewhere: bool = False) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU; a device that is ``elsewhere`` need not be here.

    Raises:
        UserError: a device that this machine lacks.
    """
    if wish == "auto":
        return torch.device(next(filter(is_here, ("cuda", "mps", "cpu"))))
    if not is_here(wish) and not elsewhere:
        raise UserError(f"--device {wish}: this machine has none; use auto or cpu")
    return torch.device(wish)


def is_here(name: str) -> bool:
    """Whether this machine has the device: ``cuda``, ``mps`` or ``cpu``."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return there[name]


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    return [str(k) for k in range(torch.cuda.device_count())]


def make_deterministic(on: bool = True) -> None:
    """Let torch take reproducible algorithms where it has them.

    Its filling of fresh memory, on by default then, would only write every activation once more.
    """
    torch.use_deterministic_algorithms(on, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
