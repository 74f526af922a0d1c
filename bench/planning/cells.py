"""Architectures × methods × folds × seeds × labels, crossed into jobs by a pure generator."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import architectures
import methods
from bench import plugins
from bench.compute.compiling import COMPILE_FROM_FLOPS
from bench.errors import UserError
from bench.job import Job
from bench.planning.estimates import Probe, probe, training_flops
from bench.planning.matrix import LARGEST_SIDE, Matrix
from bench.planning.session import Setting
from bench.protocol import BATCH_SIZE, SEEDS


@dataclass(frozen=True)
class Cell:
    """A job, or why there is none (``reason``)."""

    job: Job
    reason: str = ""


def cells(matrix: Matrix, setting: Setting, only: str | None = None, weights: str = "") -> Iterator[Cell]:
    """All cells of a fold, each once, teachers before their students.

    ``weights`` is the checksum of given weights that stand in for the teacher's training; ``only``
    is ``architecture:method`` with wildcards; a teacher that a chosen student needs is
    yielded too.

    Raises:
        UserError: an unknown architecture or method, a bad parameter, an image side that a network
            can't take, updates that don't see all samples once.
    """
    for name in (matrix.teacher, *matrix.students, *matrix.plain):
        _check_side(name, setting.job)
    seen: set[Job] = set()
    for seed, updates, known in itertools.product(
        dict.fromkeys(matrix.seeds), matrix.updates, _labels(matrix)
    ):
        _check_updates(updates, setting)
        like = replace(setting.job, seed=_own_seed(seed, setting), updates=updates)
        own = replace(setting, job=like)
        teacher = replace(_job(own, matrix.teacher, "baseline", "dice-bce", ()), **_of_teacher(known))
        teacher = replace(teacher, threads=setting.teacher_threads)
        if weights:
            teacher = replace(teacher, weights=weights, compiled=False)
        students = [
            cell
            for student in (*matrix.students, *matrix.plain)
            for loss in matrix.seg_loss
            for method in (("baseline",) if student in matrix.plain else matrix.methods)
            for cell in _cell(own, student, method, loss, teacher, known)
            if _chosen(cell.job, only) and replace(cell.job, threads=teacher.threads) != teacher
        ]
        if _chosen(teacher, only) or any(cell.job.teachers and not cell.reason for cell in students):
            reason = probe(teacher.architecture, teacher).reason
            students = [Cell(teacher, reason or ("" if teacher.labels != 0 else NOTHING_KNOWN)), *students]
        yield from (cell for cell in dict.fromkeys(students) if cell.job not in seen)
        seen |= {cell.job for cell in students}


def _own_seed(seed: int, setting: Setting) -> int:
    """Every fold has seeds of its own: seeds and folds are both repeats."""
    fold = setting.job.fold
    return seed if fold is None else (seed * setting.folds + fold) % SEEDS


def _check_updates(updates: int | None, setting: Setting) -> None:
    """Refuse a training that doesn't see every sample once."""
    whole = setting.train_cases // BATCH_SIZE
    if updates is not None and updates < whole:
        raise UserError(
            f"updates {updates}: the {setting.train_cases} training samples fill {whole} batches; training "
            "must see them once at least"
        )


NOTHING_KNOWN = "labels 0: there is nothing to learn from"
Known = dict[str, Any]
"""Fields of a job that say what is known of the training patients."""


def _labels(matrix: Matrix) -> list[Known]:
    """Combinations of the axes of labels; where all labels are known, the other two do nothing."""
    found: list[Known] = []
    for labels, teacher, unlabelled in itertools.product(
        matrix.labels, matrix.teacher_labels, matrix.unlabelled
    ):
        known = {"labels": labels, "teacher_labels": teacher, "unlabelled": unlabelled}
        found.append({"labels": None} if labels == "all" else known)
    return [known for k, known in enumerate(found) if known not in found[:k]]


def _of_teacher(known: Known) -> Known:
    """What the teacher of a student with those labels knows."""
    if known.get("teacher_labels", "same") == "same":
        return {"labels": known["labels"]}
    return {"teacher_labels": known["teacher_labels"]}


def _cell(
    setting: Setting, student: str, method: str, loss: str, teacher: Job, known: Known
) -> Iterator[Cell]:
    built = _method(method)
    teachers = (teacher.id,) if built.needs_teacher else ()
    job = _job(setting, student, method, loss, teachers)
    job = replace(job, **known) if teachers else replace(job, labels=known["labels"])
    reason = _unsupported(job, built, teacher)
    if not reason and job.labels == 0 and (teacher.labels == 0 or job.unlabelled == "none" or not teachers):
        reason = NOTHING_KNOWN
    yield Cell(job, reason)


def _unsupported(job: Job, method: methods.Method, teacher: Job) -> str:
    """Why the cell can't be: what its network or method says, or taps that are missing."""
    student, teaching = probe(job.architecture, job), Probe()
    reasons = [student.reason]
    if own := method.supports(job.spatial_dims, job.out_channels):
        reasons.append(f"{job.method}: {own}")
    if method.needs_teacher:
        teaching = probe(teacher.architecture, job)
        reasons.append(f"its teacher {teaching.reason}" if teaching.reason else "")
    if method.needs_taps:
        pairs = ((job.architecture, student.taps), (teacher.architecture, teaching.taps))
        reasons += [
            f"{name} has no forward_intermediates, which {job.method} reads"
            for name, taps in pairs
            if taps is None
        ]
        if not (student.taps or frozenset()) & (teaching.taps or frozenset()):
            reasons.append(
                f"{job.architecture} and {teacher.architecture} have no tap of the same side and stride"
            )
    return next((reason for reason in reasons if reason), "")


def _job(setting: Setting, architecture: str, method: str, loss: str, teachers: tuple) -> Job:
    built = _method(method)
    job = replace(
        setting.job,
        architecture=architecture,
        method=built.name,
        parameters=tuple(sorted(methods.parameters(built).items())),
        seg_loss=loss,
        teachers=teachers,
    )
    job = replace(job, plugin=plugins.hash_for(job))
    if probe(architecture, job).reason:
        return job
    flops = training_flops(job, setting.train_cases)
    pays = setting.can_compile and flops >= COMPILE_FROM_FLOPS
    return replace(job, compiled=pays and not job.recompute)


def _chosen(job: Job, only: str | None) -> bool:
    if only is None:
        return True
    architecture, _, method = only.partition(":")
    return fnmatch.fnmatchcase(job.architecture, architecture) and fnmatch.fnmatchcase(
        job.method, method or "*"
    )


def _method(spec: str) -> methods.Method:
    try:
        return methods.build(spec)
    except ValueError as error:
        raise UserError(str(error)) from None


def _check_side(architecture: str, like: Job) -> None:
    """Refuse an image size that the network can't take in a study whose jobs are ``like`` that one."""
    try:
        stride = architectures.stride(architecture)
    except ValueError as error:
        raise UserError(str(error)) from None
    if like.image_size > LARGEST_SIDE:
        raise UserError(f"--image-size {like.image_size}: must be {LARGEST_SIDE} at most")
    for side in (like.image_size, *like.patch):
        if side < stride or side % stride:
            below = max(stride, side - side % stride)
            seen = "" if side == like.image_size else f": a patch of {'x'.join(map(str, like.patch))}"
            raise UserError(
                f"--image-size {like.image_size}{seen}: {architecture} needs a multiple of {stride}, "
                f"e.g. {below} or {below + stride}"
            )
