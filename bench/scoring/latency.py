"""How long one call of a network takes: all take turns, so that a drifting machine is fair to all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from bench.compute.quiet import tried

log = logging.getLogger(__name__)

MIN_REPEATS, MIN_SECONDS, WARM_UP = 20, 0.5, 2
LONG = 200.0
"""Milliseconds from which a call needs no untimed one before it: what waking its threads and fetching its
weights adds, some milliseconds, is lost in it."""
EVERY_SECONDS = 10.0
"""Between two lines about the rounds of latencies."""


def latencies(
    calls: Sequence[Callable[[], object]],
    threads: int,
    repeats: int = MIN_REPEATS,
    seconds: float = MIN_SECONDS,
    tell: Callable[[int, int], object] = lambda rounds, calls: None,
) -> list[list[float]]:
    """Milliseconds of every repeat of every call: round after round, each call once a round.

    An untimed call precedes each: the first after another network finds its weights out of the caches and
    the cores taken by the other's threads, which spin for some milliseconds more. A call drops out once it
    has both ``repeats`` values and ``seconds`` of measured time. ``tell`` gets the number of rounds after
    each, and how many calls are left.
    """
    torch.set_num_threads(threads)
    values: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(WARM_UP):
            call()
    open_calls, rounds = list(range(len(calls))), 0
    while open_calls:
        for k in open_calls:
            if not values[k] or values[k][-1] < LONG:
                calls[k]()
            start = time.perf_counter()
            calls[k]()
            values[k].append((time.perf_counter() - start) * 1e3)
        open_calls = [k for k in open_calls if len(values[k]) < repeats or sum(values[k]) < seconds * 1e3]
        rounds += 1
        tell(rounds, len(open_calls))
    return values


def quiet_latencies(
    calls: Sequence[Callable[[], object]], threads: int, device: str, quiet_before: bool
) -> tuple[list[list[float]], bool]:
    """``latencies`` and whether they were disturbed: measured once more if the machine got busy meanwhile.

    Where it was busy before, and waiting didn't help, they are measured once.
    """
    what = f"profiling on {device}, {threads} thread(s)"
    trials = tried(
        what,
        lambda: latencies(calls, threads, tell=Rounds(device)),
        trials=2 if quiet_before else 1,
    )
    if trials.fault:
        log.warning(
            f"profiling on {device}, {threads} thread(s): latencies are too long, for {trials.fault}"
        )
        return min(trials.found, key=lambda values: sum(map(median, values))), True
    return trials.found[-1], False


class Rounds:
    """Says now and then how far the latencies are, in a line."""

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._clock, self._told = device, clock, clock()

    def __call__(self, rounds: int, calls: int) -> None:
        """After a round: how many there were, and how many calls are left."""
        now = self._clock()
        if calls and now - self._told >= EVERY_SECONDS:
            self._told = now
            log.info(
                f"profiling on {self._device}: latency, round {rounds} of at least {MIN_REPEATS}, "
                f"{calls} measurements left"
            )
