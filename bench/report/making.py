"""What making a network took: all training and converting that it went through, and its teachers'."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    recorded = recording(done)
    return {name: _of(name, jobs, recorded) for name in jobs}


def recording(done: pd.DataFrame) -> pd.Series:
    """Seconds that recording took what each job's ``teachers`` teach, by that column; NaN where unknown.

    The first student records for all of them, and the others only look: it counts for each of them in full,
    as if it were the only one.
    """
    return done.groupby(done.teachers.fillna("")).recording_seconds.max()


def _of(name: str, jobs: dict, recorded: pd.Series) -> Making:
    own = _reached([name], jobs, "source")
    others = _reached([name], jobs, "source", "teachers") - own
    training = sum(_known(jobs[job].train_seconds) for job in own)
    together, teaching = (sum(map(_alone, (jobs[job] for job in group))) for group in (own, others))
    taught_by = {jobs[job].teachers for job in own | others} - {None, ""}
    teaching += sum(_known(recorded[ids]) for ids in taught_by)
    return Making(training, max(0.0, together - training), teaching)


def _reached(start: list[str], jobs: dict, *links: str) -> set[str]:
    """The jobs and all that they need by the named columns, where the summary has them."""
    found, todo = set[str](), list(start)
    while todo:
        one = todo.pop()
        if one in jobs and one not in found:
            found.add(one)
            todo += [needed for link in links for needed in (getattr(jobs[one], link) or "").split()]
    return found


def _alone(job: Any) -> float:
    """What was done for this job alone, without the recording that it shares."""
    return _known(job.made_seconds) - _known(job.recording_seconds)


def _known(seconds: float) -> float:
    return 0.0 if seconds is None or np.isnan(seconds) else float(seconds)
