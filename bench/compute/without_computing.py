"""Asking a network for sizes and counts, which need no numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

Found = TypeVar("Found")


def without_computing(ask: Callable[[], Found]) -> Found:
    """What ``ask`` finds on torch's meta device, which computes nothing.

    A network that looks at numbers, as ``.item()`` does, can't be asked there: then on the processor. What
    it raises there is raised.
    """
    try:
        with torch.device("meta"):
            return ask()
    except Exception:  # whatever a network says to tensors without numbers
        with torch.device("cpu"):
            return ask()
