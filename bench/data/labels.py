"""Which training patients a job knows by their labels, and which by their images alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.errors import UserError
from bench.job import Job

DRAW = 0x1AB
"""Tells the drawing of patients from other random numbers of the same seed."""


@dataclass(frozen=True)
class Known:
    """Training patients: ``labelled`` ones, and ``others`` of whom the images are used only.

    ``unlabelled`` are those of whom images without masks are used, whoever they are.
    """

    labelled: frozenset[str]
    others: frozenset[str] = frozenset()
    unlabelled: frozenset[str] = frozenset()


def known_to(job: Job, patients: Iterable[str], unlabelled: Iterable[str] = ()) -> Known:
    """What ``job`` knows of the training ``patients``, and of those with images without masks.

    One shuffled order a seed decides, the job's own or its ``labels_seed``: the first L are labelled, so 4
    patients are among the 8 of the same seed and those among its 16. Where teacher and student must not
    share patients, the first half is the student's and the second its teacher's.

    Raises:
        UserError: more labels than patients, or too few to share out.
    """
    order = sorted(set(patients))
    seed = job.seed if job.labels_seed is None else job.labels_seed
    order = [order[k] for k in np.random.default_rng([seed, DRAW]).permutation(len(order))]
    half, withheld = (len(order) + 1) // 2, set(order)
    if job.teacher_labels == "disjoint":
        order = order[:half] if job.teachers else order[half:]
    if not order:
        raise UserError(
            f"teacher labels disjoint: {len(withheld)} training patient can't be shared out to teacher and "
            "student; must be two at least"
        )
    withheld -= set(order)
    further = frozenset(unlabelled) - withheld if job.unlabelled == "maps" else frozenset()
    if job.labels is None:
        return Known(frozenset(order), unlabelled=further)
    if job.labels > len(order):
        where = "" if job.fold is None else f" in fold {job.fold}"
        whose = "of the student's half " if job.teacher_labels == "disjoint" else ""
        raise UserError(
            f"labels {job.labels}: there are {len(order)} training patients {whose}to draw from{where}; "
            f"at most {len(order)}{', or all' if job.teacher_labels != 'disjoint' else ''}"
        )
    others = order[job.labels :] if job.unlabelled == "maps" else []
    return Known(frozenset(order[: job.labels]), frozenset(others), further)
