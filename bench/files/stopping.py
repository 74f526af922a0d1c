"""Ctrl-C and SIGTERM: first save, then stop.

Within ``after_saving`` the first signal waits for the next ``check()``, which a job makes after every
epoch, when that is saved. A second Ctrl-C stops at once; so does SIGTERM, as schedulers send it some time
before they kill, after ``GRACE_SECONDS``: what the last finished epoch left is saved then already.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GRACE_SECONDS = 20.0
"""Slurm gives 30 by default."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AFTER_SAVING = "stopping: running jobs finish their epoch and save; Ctrl-C again stops at once"
AT_ONCE = "stopping at once: the epoch that was running is lost, all before it is saved"
"""What a first and a second Ctrl-C say."""

_asked: list[int] = []


class Stopped(BaseException):
    """A signal asked this process to stop. No ``Exception``: nothing that handles failures may keep it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.code = 128 + signum
        """The exit code, as shells have it: 130 or 143."""


def check() -> None:
    """Stop here if a signal asked for it.

    Raises:
        Stopped: it did.
    """
    if _asked:
        raise Stopped(_asked[0])


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Signals raise ``Stopped`` wherever the process is."""

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Stopped(signum)

    with _handlers(handle, SIGNALS):
        yield


@contextlib.contextmanager
def after_saving(tell: bool = False) -> Iterator[None]:
    """The first signal waits for ``check()``; with ``tell`` every Ctrl-C says what it does."""

    def say(line: str) -> None:
        if tell:
            os.write(2, f"\n{line}\n".encode())  # printing is not safe in the middle of a print

    def handle(signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGALRM or (signum == signal.SIGINT and signum in _asked):
            if signum == signal.SIGINT:
                say(AT_ONCE)
            raise Stopped(_asked[0])
        _asked.append(signum)
        if signum == signal.SIGTERM:
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        else:
            say(AFTER_SAVING)

    with _handlers(handle, (*SIGNALS, signal.SIGALRM)):
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _asked.clear()


@contextlib.contextmanager
def kept() -> Iterator[list[int]]:
    """The signals that come, for whoever passes them on."""
    came: list[int] = []
    with _handlers(lambda signum, frame: came.append(signum), SIGNALS):
        yield came


@contextlib.contextmanager
def _handlers(handle: Callable[[int, FrameType | None], None], signals: tuple[int, ...]) -> Iterator[None]:
    """Only a main thread can have them; what the process was told to ignore (nohup) stays ignored."""
    before: dict[int, object] = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.getsignal(n) for n in signals if signal.getsignal(n) != signal.SIG_IGN}
    try:
        for signum in before:
            signal.signal(signum, handle)
        yield
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)  # type: ignore[arg-type]
