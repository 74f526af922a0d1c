"""What methods are called and in which order they stand, in every table and figure.

The report asks no method: its records say it (``shown``), for the method may be of a plug-in that is not
here. Older records have a table (``old_records``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bench.job import Job, parameters_text
from bench.report.old_records import METHODS


class Shown(NamedTuple):
    """What a record says of its job; ``bench/running/record.py`` writes it."""

    method: str
    rank: int | None
    changed: str
    graph: str
    finished: bool = False
    """Whether its method made another artefact of the trained network, in the same job."""


LAST = 99
_labels = {name: label for name, (label, _) in METHODS.items()}
_ranks = {name: rank for rank, name in enumerate(METHODS)}


def shown(record: Mapping[str, Any]) -> Shown:
    """What a record says of its job, or what the table of old records does."""
    job = Job.from_dict(record["job"])
    own = f"{job.architecture} {job.slices}" if job.slices else job.architecture
    if said := record.get("shown"):
        finished = said["graph"].startswith(f"{own}+")  # as it was named while methods could do so
        return Shown(said["method"], said["rank"], said["changed"], said["graph"], finished)
    # What a method of before does to its network, only a method that is still here can say: one that is
    # not known may have a graph of its own, and then the plain network's cost would be another's.
    finished = job.method not in METHODS
    graph = f"{own}+{job.spec}" if finished else own
    given = parameters_text(job.parameters).split()
    usual = given if finished else METHODS[job.method][1].split()
    other = [text for text in given if text not in usual]
    changed = f"[{','.join(other)}]" if other else ""
    return Shown(label(job.method), _ranks.get(job.method), changed, graph, finished)


def learn(records: Iterable[Mapping[str, Any]]) -> None:
    """Take names and order of methods from records."""
    for record in records:
        name, said = record["job"]["method"], shown(record)
        _labels[name] = said.method
        if said.rank is not None:
            _ranks[name] = said.rank


def label(method: str) -> str:
    """A word for axes and columns."""
    return _labels.get(method, method)


def rank(method: str, unknown: int) -> int:
    """The place of a method among all; ``unknown`` where no record says it."""
    return _ranks.get(method, unknown)


def in_order(methods: Iterable[str]) -> list[str]:
    """Distinct methods as they stand everywhere; unknown ones last, by name."""
    return sorted(set(methods), key=lambda name: (_ranks.get(name, LAST), name))


def known() -> list[str]:
    """The methods that have their place, in order."""
    return in_order(_ranks)
