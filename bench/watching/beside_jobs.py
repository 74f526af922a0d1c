"""Beside the jobs of a matrix: the live view, and whoever tracks them elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from bench.job import Job
from bench.planning.chains import Cell
from bench.study.store import Study
from bench.watching.live_view import can_show, showing, ticking
from bench.watching.states import Watch
from bench.watching.trackers import Tracker

log = logging.getLogger(__name__)


@contextmanager
def following(
    study: Study,
    cells: Sequence[Cell],
    todo: Sequence[Job],
    trackers: Sequence[Tracker],
) -> Iterator[bool]:
    """Follow the jobs while the block runs them; gives whether the live view is shown.

    A tracker that fails is left, with one line: no job fails over it.
    """
    jobs = [cell.job for cell in cells]
    with ExitStack() as stack:
        for tracker in trackers:
            tell = Teller(Watch(study, jobs, todo), tracker)
            stack.callback(tracker.close)
            stack.enter_context(ticking(tell, partial(_give_up, tracker)))
        shown = bool(todo) and can_show()
        if shown:
            workers = int((study.settings() or {}).get("workers", 1))
            stack.enter_context(showing(Watch(study, jobs, todo), study.root.name, workers))
        yield shown


class Teller:
    """Tells a tracker each epoch once and each record once."""

    def __init__(self, watch: Watch, tracker: Tracker) -> None:
        self._watch = watch
        self._tracker = tracker
        self._told: dict[str, int] = {}
        self._final: set[str] = set()

    def __call__(self) -> None:
        """Tell what is new."""
        for state in self._watch.states(time.time()):
            name = state.job.id
            if state.status == "running":
                self._final.discard(name)
                rows = state.news["curves"]
                if len(rows) < self._told.get(name, 0):  # begun anew
                    self._told[name] = 0
                for row in rows[self._told.get(name, 0) :]:
                    self._tracker.epoch(state.job, row)
                self._told[name] = len(rows)
            elif state.status != "waiting" and name not in self._final:
                self._tracker.finished(state.job, self._watch.study.record(name) or {})
                self._final.add(name)


def _give_up(tracker: Tracker, why: str) -> None:
    log.info(f"{tracker.option}: {why}; nothing more is tracked there now. The same command completes it")
