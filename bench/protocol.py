"""The fixed numbers of the comparison (docs/protocol.md says why). The same in every cell."""

from __future__ import annotations

PROTOCOL_VERSION = 2
"""Raised by hand when results change meaning; part of every job's id."""

EPOCHS = 20
BATCH_SIZE = 16
MIN_BATCHES = 25
"""Batches that an epoch has at least: 500 updates a job. Fewer under-train every network on small sets."""
LEARNING_RATE = 1e-3
FEW_UPDATES = 100
"""A job with fewer is warned of."""
FEW_PATIENTS = 10
"""Scores of fewer patients say little; it is warned of before anything is trained."""
USABLE_DICE = 0.3
"""A network with a lower one has not learned its task, and is worth no comparison."""
CONTRASTS = 6
"""Differences that a study may name beforehand; only those are ever claimed."""
MIN_FOLDS = 3
"""Fewer folds carry no claim, and no interval for the method."""
SEG_LOSSES = ("dice-bce", "bce")
DICE_SMOOTH = 1.0
SIDES = (256, 512)
"""Of images that every network is timed on, beside the study's own."""
SEEDS = 2**32
"""Seeds are whole numbers from 0 to below this, what every generator takes."""


def epoch_batches(samples: int, updates: int | None = None) -> int:
    """Batches an epoch: as many as the samples fill, but 25 at least, or those of ``updates``."""
    return max(MIN_BATCHES, samples // BATCH_SIZE) if updates is None else updates // EPOCHS
