"""Which jobs the named contrasts stand for, so that nothing that is added later changes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.job import Job

KNOWN_TO_TEACHER = ("same", "disjoint", "all")
"""What a teacher knows, as it is usual: what no user can have, all labels, comes last."""


def jobs_of(named: Sequence[str], jobs: Iterable[Job]) -> dict[str, list[str]]:
    """Ids of the planned jobs of each contrast: where a matrix has several such cells, of the usual one.

    That is the one with the defaults, else with the largest images, the most labels and the most updates.

    Args:
        named: ``student:method`` as ``matrix.contrasts`` gives them.
        jobs: of the matrix.
    """
    found, planned = dict[str, list[str]](), list(jobs)
    for name in named:
        own = [job for job in planned if not job.source and f"{job.architecture}:{job.recipe}" == name]
        usual = min(map(_unusual, own), default=None)
        found[name] = [job.id for job in own if _unusual(job) == usual]
    return found


def _unusual(job: Job) -> tuple[Any, ...]:
    """What tells jobs of one name apart but fold and seed, ordered from the usual to the unusual."""
    return (
        *(job.seg_loss != "dice-bce", job.seg_loss, -job.image_size, job.slices),
        *(job.labels is not None, -(job.labels or 0), job.updates is not None, -(job.updates or 0)),
        *(KNOWN_TO_TEACHER.index(job.teacher_labels), job.unlabelled != "none"),
        *(job.shuffled, job.labels_seed is not None, job.labels_seed or 0, job.taught_by, job.maps),
    )
