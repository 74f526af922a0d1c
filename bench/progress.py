"""What a running job shows: one line an epoch, with the time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.protocol import EPOCHS


class Progress:
    """Turns epochs into lines; on a terminal the lines of one phase overwrite each other."""

    def __init__(self, write: Callable[[str], object], terminal: bool) -> None:
        self._write = write
        self._terminal = terminal
        self._started: dict[str, float] = {}
        self._created = time.monotonic()

    def epoch(self, phase: str, row: dict[str, float]) -> None:
        """Show a finished epoch of ``train`` or ``targets``."""
        now = time.monotonic()
        started = self._started.setdefault(phase, self._created)
        epoch = int(row["epoch"])
        left = (now - started) / epoch * (EPOCHS - epoch)
        parts = [f"  {phase} epoch {epoch}/{EPOCHS}"]
        if "loss" in row:
            parts.append(f"loss {row['loss']:.4f}  validation Dice {row['dice_val']:.4f}")
        parts.append(f"{duration(left)} left" if epoch < EPOCHS else duration(now - started))
        line = "  ".join(parts)
        if epoch == EPOCHS:
            self._created = now
        if self._terminal:
            self._write("\r\x1b[2K" + line + ("\n" if epoch == EPOCHS else ""))
        else:
            self._write(line + "\n")

    def say(self, line: str) -> None:
        """Show a line of its own."""
        self._write(f"  {line}\n")


def duration(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
