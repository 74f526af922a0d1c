"""Whether there is anything to learn: which classes the masks of the training parts hold."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from bench.data.dataset import Dataset
from bench.data.splits import Split
from bench.errors import UserError

log = logging.getLogger(__name__)


def check_foreground(dataset: Dataset, splits: Sequence[Split]) -> None:
    """Say which classes occur in no training mask of the split, or of a fold.

    Raises:
        UserError: no training mask of any fold has any foreground.
    """
    cases = sorted({k for split in splits for k in split.indices(dataset, "train")})
    there = {k: set(np.unique(dataset.masks[k]).tolist()) - {0} for k in cases}
    found = [set().union(*(there[k] for k in split.indices(dataset, "train"))) for split in splits]
    if not any(found):
        raise UserError(
            f"dataset {dataset.name}: no mask of the training set has any foreground "
            f"({len(cases)} masks of 0); there is nothing to learn"
        )
    for number, own in enumerate(found):
        where = f" of fold {number}" if len(found) > 1 else ""
        missing = [name for label, name in enumerate(dataset.classes, start=1) if label not in own]
        if not own:
            log.warning(f"no training mask{where} has any foreground: its networks learn nothing")
        elif missing:
            log.warning(
                f"no training mask{where} holds the class {', '.join(missing)}: it can't be learned"
            )
