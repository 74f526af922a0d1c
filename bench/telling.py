"""How lines reach whoever watches: what is only told goes through ``logging``, under the name ``bench``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator

LOGGER = logging.getLogger("bench")


class Lines(logging.Handler):
    """Hands each message to ``write``; warnings go to the errors."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message as it is, without level and time."""
        if record.levelno >= logging.WARNING:
            print(record.getMessage(), file=sys.stderr, flush=True)
        else:
            self._write(record.getMessage())


@contextlib.contextmanager
def told_to(write: Callable[[str], None]) -> Iterator[None]:
    """Within the block ``write`` gets each line that this process tells, and nobody else does."""
    before = LOGGER.handlers, LOGGER.level, LOGGER.propagate
    LOGGER.handlers, LOGGER.propagate = [Lines(write)], False
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.handlers, LOGGER.propagate = before[0], before[2]
        LOGGER.setLevel(before[1])


def print_line(line: str) -> None:
    """Print at once, also into a file: a process that is killed has told all by then."""
    print(line, flush=True)
