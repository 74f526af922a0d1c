"""What a running job shows: one line an epoch, with the time left."""

from __future__ import annotations

import time
from typing import TextIO

from bench.protocol import EPOCHS


class Progress:
    """Turns epochs into lines; on a terminal the lines of one phase overwrite each other.

    Args:
        stream: where lines go.
        terminal: whether lines may overwrite each other.
        label: put before each line where several jobs print side by side.
    """

    def __init__(self, stream: TextIO, terminal: bool, label: str = "") -> None:
        self._stream = stream
        self._terminal = terminal
        self._label = f"{label}: " if label else ""
        self._phase_began = time.monotonic()

    def epoch(self, phase: str, row: dict[str, float]) -> None:
        """Show a finished epoch of ``train`` or ``targets``."""
        spent = time.monotonic() - self._phase_began
        epoch = int(row["epoch"])
        last = epoch == EPOCHS
        parts = [f"{phase} epoch {epoch}/{EPOCHS}"]
        if "loss" in row:
            parts.append(f"loss {row['loss']:.4f}  validation Dice {row['dice_val']:.4f}")
        parts.append(duration(spent) if last else f"{duration(spent / epoch * (EPOCHS - epoch))} left")
        self._write("  ".join(parts), overwrite=self._terminal, end=last)
        if last:
            self._phase_began = time.monotonic()

    def say(self, line: str) -> None:
        """Show a line of its own."""
        self._write(line, overwrite=False, end=True)

    def _write(self, line: str, overwrite: bool, end: bool) -> None:
        before, after = ("\r\x1b[2K", "\n" if end else "") if overwrite else ("", "\n")
        self._stream.write(f"{before}  {self._label}{line}{after}")
        self._stream.flush()


def duration(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
