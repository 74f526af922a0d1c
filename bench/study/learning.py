"""What a job's curves say of its training: reasons to compare nothing with its scores.

Made from the record alone and without torch, so that the line at a job's end and the report say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.protocol import USABLE_DICE

TAIL = 3
"""The last epochs, whose median is where training ended: one epoch alone may be a stray one."""
FALL = 0.05
"""Of validation Dice from its best epoch to the end: less is noise of a small validation set."""


def doubts(record: Mapping[str, Any]) -> list[str]:
    """Why the network of a done job should be compared with nothing, a phrase each; none where all is well.

    Args:
        record: of a job that is done. Given weights have no curves, and only their scores can be doubted.
    """
    return [phrase for phrase in (fell(record["curves"]), _unusable(record)) if phrase]


def fell(curves: Sequence[Mapping[str, Any]]) -> str:
    """How validation Dice fell while the loss fell: what was learned is of the training patients only.

    Empty where it did not.
    """
    rows = [row for row in curves if row.get("dice_val") is not None]
    if len(rows) <= TAIL:
        return ""
    best = max(rows, key=lambda row: row["dice_val"])
    last, loss = (_end(rows, key) for key in ("dice_val", "loss"))
    if last is None or loss is None or "loss" not in best:
        return ""
    if best["dice_val"] - last <= FALL or loss >= best["loss"]:
        return ""
    return (
        f"validation Dice fell from {best['dice_val']:.3f} in epoch {best['epoch']} to {last:.3f} at the "
        "end, while the loss fell"
    )


def _end(rows: list[Mapping[str, Any]], key: str) -> float | None:
    values = [row.get(key) for row in rows[-TAIL:]]
    known = [value for value in values if value is not None]
    return float(median(known)) if len(known) == len(values) else None


def _unusable(record: Mapping[str, Any]) -> str:
    dice = record["val"]["dice"]
    if dice is None or dice >= USABLE_DICE:
        return ""
    return f"validation Dice {dice:.3f} is far below any that could be used ({USABLE_DICE})"
