"""The fixed numbers of the comparison (docs/protocol.md says why). The same in every cell."""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""Raised by hand when results change meaning; part of every job's id."""

EPOCHS = 20
BATCH_SIZE = 16
LEARNING_RATE = 1e-3
SEG_LOSSES = ("dice-bce", "bce")
DICE_SMOOTH = 1.0
SEEDS = 2**32
"""Seeds are whole numbers from 0 to below this, what every generator takes."""
