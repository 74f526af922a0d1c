"""Which jobs the named contrasts stand for, so that nothing that is added later changes it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from bench.job import Job
from bench.planning.matrix import Matrix, contrasts
from bench.planning.session import Session

log = logging.getLogger(__name__)

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


def tell_other_contrasts(session: Session, matrix: Matrix) -> None:
    """One line where a matrix names other contrasts than the study was begun with, which stay."""
    begun, named = session.settings.get("contrasts"), contrasts(matrix)
    if begun is not None and set(begun) != set(named):
        log.warning(
            f"the matrix's contrasts are not used ({', '.join(named) or 'none'}): the study was begun with "
            f"{', '.join(begun) or 'none'}"
        )


def tell_old_contrasts(session: Session, jobs: Iterable[Job]) -> None:
    """One line where contrasts stand for jobs of an earlier version of a plug-in, which stay."""
    versions: dict[str, set[str]] = {}
    for job in jobs:
        versions.setdefault(f"{job.architecture}:{job.recipe}", set()).add(job.plugin)
    if not any(map(any, versions.values())):  # nothing here is a plug-in's, so no file need be read
        return
    kept = {job.id: job.plugin for job in session.study.jobs()}
    old = []
    for name, ids in session.study.contrasts().items():
        known = {kept[one] for one in ids if one in kept}
        if known and name in versions and known.isdisjoint(versions[name]):
            old.append(name)
    if old:
        log.warning(
            f"contrasts stand for jobs of an earlier version of a plug-in ({', '.join(old)}): what runs "
            "now is described, not claimed; begin another study with --results to claim it"
        )
