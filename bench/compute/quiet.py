"""Whether this machine is busy with other things: what is timed then is not what the machine can do."""

from __future__ import annotations

import logging
import time
from pathlib import Path

log = logging.getLogger(__name__)

BUSY = 0.1
"""The share of all cores in use from which timings are disturbed; an idle system takes a few percent."""
LOOK_SECONDS = 5.0


def share_in_use(seconds: float = 1.0) -> float:
    """The share of all cores that others use while this process sleeps; 0 where the system doesn't say."""
    before = _ticks()
    time.sleep(seconds if before else 0)
    after = _ticks()
    if not before or not after or after[0] == before[0]:
        return 0.0
    return 1 - (after[1] - before[1]) / (after[0] - before[0])


def is_busy() -> bool:
    """Whether others use so much that timings would tell of them."""
    return share_in_use() > BUSY


def waited_for(seconds: float) -> bool:
    """Wait until the machine is quiet, ``seconds`` at most; whether it is."""
    until, told = time.monotonic() + seconds, False
    while is_busy():
        if time.monotonic() >= until:
            log.info("the machine is busy with other things; what is timed now is marked as such")
            return False
        if not told:
            log.info(f"waiting for a quiet machine, {seconds:.0f} s at most")
            told = True
        time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
    return True


def _ticks() -> tuple[int, int] | None:
    """Ticks of all cores since the system began: all, and idle ones (Linux)."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    values = [int(value) for value in path.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(values), values[3] + values[4]
