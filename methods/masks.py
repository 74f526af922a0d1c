"""Masks that say nothing about their images."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def blank(masks: Iterable[NDArray[np.generic]]) -> str:
    """``nothing`` or ``everything`` where a network answers so for all cases; else an empty text.

    Args:
        masks: one a case, of any shape: truth values or classes, 0 for background.

    ``nothing``: every pixel of every case is background. ``everything``: none is. A network may do so with
    a loss that looks normal. Of no case at all nothing is said.
    """
    found = {(bool(np.any(mask)), bool(np.all(mask))) for mask in masks if mask.size}
    return (
        {(False, False): "nothing", (True, True): "everything"}.get(found.pop(), "")
        if len(found) == 1
        else ""
    )
