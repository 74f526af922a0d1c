"""What a running job shows: one line an epoch, with the time left, and the same in a file for others.

The file, ``progress/ID.json`` in the study, is there while the job runs. Whoever shares the folder can
read in it how far the job is, on whatever machine it runs::

    {"phase": "train", "epoch": 3, "epochs": 20, "seconds": 12.1, "left": 68.6, "curves": [...]}

``phase`` is ``starting``, ``targets`` (recording the teacher's), ``train`` or ``scoring``; ``seconds``
since the job began, ``left`` in this phase; ``curves`` the rows of this run's epochs so far.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from bench.files.atomic import partial_path
from bench.protocol import EPOCHS
from bench.study.reporter import Reporter

CONVERT_SECONDS = 30.0
"""Of a conversion, where no record of one tells."""


class Progress(Reporter):
    """Turns epochs into lines; on a terminal the lines of one phase overwrite each other.

    Args:
        stream: where lines go.
        terminal: whether lines may overwrite each other.
        label: put before each line where several jobs print side by side.
        path: the file to keep up to date; None keeps none.
        epochs: of the whole training.
    """

    def __init__(
        self,
        stream: TextIO,
        terminal: bool,
        label: str = "",
        path: Path | None = None,
        epochs: int = EPOCHS,
    ) -> None:
        super().__init__()
        self._epochs = epochs
        self._stream = stream
        self._terminal = terminal
        self._label = f"{label}: " if label else ""
        self._path = path
        self._began = self._phase_began = time.monotonic()
        self._before = 0  # epochs that an earlier run of the job has done
        self._curves: list[dict[str, float]] = []
        self._keep("starting", 0, None)

    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        """Show a finished epoch of ``train`` or ``targets``."""
        self._show(phase, row)
        super().epoch(phase, row)

    def _show(self, phase: str, row: Mapping[str, float]) -> None:
        spent = time.monotonic() - self._phase_began
        epoch = int(row["epoch"])
        last = epoch == self._epochs
        parts = [f"{phase} epoch {epoch}/{self._epochs}"]
        if "loss" in row:
            parts.append(f"loss {row['loss']:.4f}  validation Dice {row['dice_val']:.4f}")
            self._before = self._before if self._curves else epoch - 1
            self._curves.append(dict(row))
        left = spent / (epoch - self._before) * (self._epochs - epoch)
        parts.append(duration(spent) if last else f"{duration(left)} left")
        self._write("  ".join(parts), overwrite=self._terminal, end=last)
        self._keep("scoring" if last and self._curves else phase, epoch, left)
        if last:
            self._phase_began = time.monotonic()

    def say(self, line: str) -> None:
        """Show a line of its own."""
        self._write(line, overwrite=False, end=True)

    def close(self) -> None:
        """Remove the file: the record says the rest."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, line: str, overwrite: bool, end: bool) -> None:
        before, after = ("\r\x1b[2K", "\n" if end else "") if overwrite else ("", "\n")
        self._stream.write(f"{before}  {self._label}{line}{after}")
        self._stream.flush()

    def _keep(self, phase: str, epoch: int, left: float | None) -> None:
        """Replace the file whole; not synced, for it is only news, and a job doesn't fail over it."""
        if self._path is None:
            return
        seconds = time.monotonic() - self._began
        news = {"phase": phase, "epoch": epoch, "epochs": self._epochs, "seconds": seconds, "left": left}
        partial = partial_path(self._path)
        with contextlib.suppress(OSError):
            try:
                self._path.parent.mkdir(exist_ok=True)
                partial.write_text(json.dumps(news | {"curves": self._curves}))
                partial.replace(self._path)
            finally:
                partial.unlink(missing_ok=True)


def read_progress(path: Path) -> dict[str, Any] | None:
    """What the job has written; None where it isn't running."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def log_to(path: Path) -> None:
    """Let everything that this process prints, libraries and all, go to a file."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)


def duration(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
