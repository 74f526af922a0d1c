"""Whether this machine is busy with other things: what is timed then is not what the machine can do.

Whoever times something does it through ``tried``: it is measured again while the machine is busy or the
result can't be, but only so often, and waits for a quiet moment only so long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

BUSY = 0.1
"""The share of all cores in use from which timings are disturbed; an idle system takes a few percent."""
LOOK_SECONDS = 5.0
TRIALS = 3
"""How often something is measured at most."""
WAIT_SECONDS = 10.0
"""How long a repeated measurement waits at most for a quiet machine."""
UNEVEN = 1.3
"""Repeats of one call whose median is that many times the shortest were disturbed."""
OTHERS = "the machine is busy with other things"
UNSTEADY = f"repeats of the same differ by more than {UNEVEN}"

T = TypeVar("T")


@dataclass(frozen=True)
class Tried(Generic[T]):
    """What each trial found, and what was wrong with the last one; empty: nothing."""

    found: list[T]
    fault: str


def tried(
    what: str,
    measure: Callable[[], T],
    fault: Callable[[T], str] = lambda found: "",
    trials: int = TRIALS,
) -> Tried[T]:
    """Call ``measure`` until nothing is wrong with what it finds, ``trials`` times at most.

    Whether the machine is busy is looked at before and after each.

    Args:
        what: is measured; for the line that says why it is measured again.
        fault: what can't be right about a result that was found on a quiet machine; empty: nothing.
    """
    found: list[T] = []
    wrong = ""
    for trial in range(trials):
        if wrong:
            log.info(f"{what}: {wrong}; measuring again, {trial + 1} of {trials} times at most")
        busy = not waited_for(WAIT_SECONDS if wrong else 0.0)
        found.append(measure())
        wrong = OTHERS if busy or is_busy() else fault(found[-1])
        if not wrong:
            break
    return Tried(found, wrong)


def uneven(values: Sequence[float]) -> bool:
    """Whether repeats of one call tell that something else ran meanwhile."""
    return sorted(values)[len(values) // 2] > UNEVEN * min(values)


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
