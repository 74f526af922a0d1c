"""What a running job reports to: one object, passed whole from the job's process to the training loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Phases(dict[str, float]):
    """Seconds by phase of a job or a command."""

    @contextmanager
    def time(self, phase: str) -> Iterator[None]:
        """Add what the block takes to ``phase``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self[phase] = self.get(phase, 0.0) + time.perf_counter() - started


class Reporter:
    """Is told how a job goes; by itself it shows nothing and remembers what the record will say.

    Attributes:
        phases: where the time goes.
        uncompiled: why the job runs uncompiled though it was planned otherwise; empty if it doesn't.
        between_epochs: called after every epoch, once that is on the disk, with its phase (``targets`` or
            ``train``); what they raise ends the job there.
    """

    def __init__(self) -> None:
        self.phases = Phases()
        self.uncompiled = ""
        self.between_epochs: list[Callable[[str], None]] = []

    def epoch(self, phase: str, row: Mapping[str, float]) -> None:
        """An epoch is over; ``row`` is of the curves, or has its number only."""
        for call in self.between_epochs:
            call(phase)

    def runs_uncompiled(self, reason: str) -> None:
        """The job goes on uncompiled."""
        self.uncompiled = reason
        log.info(f"{reason}: this job runs uncompiled, its scores equal up to rounding")
