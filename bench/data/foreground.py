"""Whether there is anything to learn: which classes the masks of the training parts hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Dataset
from bench.data.splits import Split
from bench.errors import UserError

AT_A_TIME = 2**24
"""Voxels that are counted at a time, for counting takes eight times their memory."""


def check_foreground(dataset: Dataset, splits: Sequence[Split]) -> list[str]:
    """Which classes occur in no training mask of the split, or of a fold, a line each; or no background.

    Raises:
        UserError: no training mask of any fold has any foreground.
    """
    cases = sorted({k for split in splits for k in split.indices(dataset, "train")})
    values = {k: _values(dataset.masks[k]) for k in cases}
    there = {k: own - {0} for k, own in values.items()}
    found = [set().union(*(there[k] for k in split.indices(dataset, "train"))) for split in splits]
    if not any(found):
        raise UserError(
            f"dataset {dataset.name}: no mask of the training set has any foreground "
            f"({len(cases)} masks of 0); there is nothing to learn"
        )
    odd = []
    if not any(0 in own for own in values.values()):
        odd.append("no training mask has any background: see how they were made")
    nowhere = {label for label in range(1, len(dataset.classes) + 1) if not any(label in f for f in found)}
    if nowhere:
        odd.append(f"no training mask holds the class {_names(dataset, nowhere)}: it can't be learned")
    for number, own in enumerate(found):
        missing = {label for label in range(1, len(dataset.classes) + 1) if label not in own} - nowhere
        if not own:
            odd.append(f"no training mask of fold {number} has any foreground: its networks learn nothing")
        elif missing:
            odd.append(
                f"no training mask of fold {number} holds the class {_names(dataset, missing)}: it can't "
                "be learned there"
            )
    return odd


def _values(mask: NDArray[np.uint8]) -> set[int]:
    """The different values of a mask."""
    flat = mask.ravel()
    pieces = (flat[start : start + AT_A_TIME] for start in range(0, flat.size, AT_A_TIME))
    return {int(value) for piece in pieces for value in np.flatnonzero(np.bincount(piece))}


def _names(dataset: Dataset, labels: set[int]) -> str:
    return ", ".join(dataset.classes[label - 1] for label in sorted(labels))
