"""Who teaches: the matrix's teacher, the mean of several, an assistant, or the student's plain twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.errors import UserError
from bench.planning.chains import (
    NOTHING_KNOWN,
    Around,
    Cell,
    Known,
    Teaching,
    chain,
    job_of,
    or_the_teacher,
    steps_of,
)
from bench.planning.estimates import probe
from bench.planning.matrix import Matrix
from bench.planning.session import Setting
from bench.protocol import SEEDS

TWIN = "twin"


def teaching_of(kind: int | str, around: Around, student: str, loss: str, seed: int) -> Teaching:
    """The teachers that a value of the axis ``teachers`` asks for; ``seed`` is the matrix's.

    A number: that many networks like the matrix's teacher, of the seeds of one block (of three: 0 to 2, 3
    to 5, ...), so that the students of these seeds share them. ``twin``: the student's own network, trained
    plainly. ``architecture:recipe``: an assistant, which the usual teacher teaches if its recipe has one.

    Raises:
        UserError: an assistant of several steps, or several networks where one was given.
    """
    if kind == 1:
        return around.usual
    if isinstance(kind, int):
        if around.usual.maps or around.teacher.job.weights:
            flag = "--teacher-maps" if around.usual.maps else "--teacher"
            raise UserError(f"teachers {kind}: {flag} gives one; leave it out, or teachers")
        return Teaching(tuple(_of_block(kind, around, seed)), text=f"the mean of {kind} teachers")
    if kind == TWIN:
        own = replace(around, known={"labels": around.known["labels"]})  # no more than the student itself
        return Teaching((_plain(own, student, loss, "baseline"),), text="its plain twin")
    architecture, _, recipe = kind.partition(":")
    steps = steps_of(recipe)
    if len(steps) > 1 or steps[0].kind != "train":
        raise UserError(
            f"teachers {kind!r}: an assistant is trained in one step, such as pm-kd or baseline"
        )
    if not steps[0].needs_teacher:
        return Teaching((_plain(around, architecture.strip(), "dice-bce", recipe),), text=kind)
    (assistant,) = chain(around, (architecture.strip(), "dice-bce", steps), around.usual)
    return Teaching((assistant,), text=kind)


def assistants(matrix: Matrix) -> list[str]:
    """The networks that the matrix has between teacher and student."""
    kinds = (kind for part in matrix.parts for kind in part.teachers)
    found = (kind.partition(":")[0].strip() for kind in kinds if isinstance(kind, str) and kind != TWIN)
    return list(dict.fromkeys(found))


def own_seed(seed: int, setting: Setting) -> int:
    """Every fold has seeds of its own: seeds and folds are both repeats."""
    fold = setting.job.fold
    return seed if fold is None else (seed * setting.folds + fold) % SEEDS


def of_teacher(known: Known) -> Known:
    """What the teacher of a student with those labels knows."""
    if known.get("teacher_labels", "same") == "same":
        return {"labels": known["labels"]}
    return {"teacher_labels": known["teacher_labels"]}


def _of_block(count: int, around: Around, seed: int) -> Iterator[Cell]:
    """Networks like the matrix's teacher, of ``count`` seeds.

    Together they know no more labels than it does: where patients are drawn, its seed draws them for all.
    """
    own = around.teacher.job
    drawn = own.labels is not None or own.teacher_labels == "disjoint"
    first = seed - seed % count
    for other in (own_seed(one % SEEDS, around.setting) for one in range(first, first + count)):
        job = replace(own, seed=other, labels_seed=own.seed if drawn and other != own.seed else None)
        yield replace(around.teacher, job=job)


def _plain(around: Around, architecture: str, loss: str, recipe: str) -> Cell:
    """A network trained without a teacher, which knows what a teacher is to know."""
    steps = steps_of(recipe)
    job = replace(job_of(around.setting, architecture, steps[0], loss), **of_teacher(around.known))
    reason = probe(architecture, job).reason or ("" if job.labels != 0 else NOTHING_KNOWN)
    return or_the_teacher(Cell(job, reason, steps), around.teacher)
