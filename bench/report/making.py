"""What making a network took: all training and converting that it went through, and its teachers'."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd


class Making(NamedTuple):
    """Seconds.

    ``training``: of the network and of all that it was made from. ``converting``: calibration and pruning
    among it. ``teacher``: all that its teachers took, and the recording of what they teach.
    """

    training: float
    converting: float
    teacher: float

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(self))


def making(done: pd.DataFrame) -> dict[str, Making]:
    """What each job's network took, by id; a teacher of several counts once.

    Args:
        done: the finished jobs of the summary.
    """
    jobs = {row.id: row for row in done.itertuples()}
    return {name: _of(name, jobs) for name in jobs}


def _of(name: str, jobs: dict) -> Making:
    own = _reached([name], jobs, "source")
    taught_by = [one for job in own for one in (jobs[job].teachers or "").split()]
    teachers = _reached(taught_by, jobs, "source", "teachers")
    training = sum(_known(jobs[job].train_seconds) for job in own)
    recording = sum(_known(jobs[job].recording_seconds) for job in own)
    together = sum(_known(jobs[job].made_seconds) for job in own)
    teaching = sum(_known(jobs[job].made_seconds) for job in teachers - own)
    return Making(training, max(0.0, together - training - recording), teaching + recording)


def _reached(start: list[str], jobs: dict, *links: str) -> set[str]:
    """The jobs and all that they need by the named columns, where the summary has them."""
    found, todo = set[str](), list(start)
    while todo:
        one = todo.pop()
        if one in jobs and one not in found:
            found.add(one)
            todo += [needed for link in links for needed in (getattr(jobs[one], link) or "").split()]
    return found


def _known(seconds: float) -> float:
    return 0.0 if seconds is None or np.isnan(seconds) else float(seconds)
