"""How far a folder is: a bar at a terminal, else a line now and then."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


class Progress:
    """Counts cases; those that fail are named at once."""

    def __init__(self, count: int, finished: int = 0) -> None:
        self._count, self._finished, self._before = count, finished, finished
        self._began = self._told = time.monotonic()
        self._bar = Bar(console=Console(stderr=True), transient=True) if sys.stderr.isatty() else None
        self._task = (
            self._bar.add_task("predicting", total=count, completed=finished) if self._bar else None
        )

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def done(self) -> None:
        """One more is through."""
        self._finished += 1
        if self._bar and self._task is not None:
            self._bar.advance(self._task)
        elif time.monotonic() - self._told > EVERY_SECONDS:
            self._told = time.monotonic()
            each = (self._told - self._began) / (self._finished - self._before)
            left = each * (self._count - self._finished)
            log.info(f"{self._finished} of {self._count}, {left:.0f} s left")

    def failed(self, reason: str) -> None:
        """One more is through, without a mask."""
        log.warning(f"failed: {reason}")
        self.done()
