"""Architectures × methods × folds × seeds × labels, crossed into jobs by a pure generator."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
    steps: tuple[methods.Step, ...] = field(default=(), compare=False)
    """Its recipe; empty: plain training of a teacher."""


def cells(matrix: Matrix, setting: Setting, only: str | None = None, weights: str = "") -> Iterator[Cell]:
    """All cells of a fold, each once, teachers before their students.

    ``weights`` is the checksum of given weights that stand in for the teacher's training; ``only``
    is ``architecture:recipe`` with wildcards; the teacher and the sources that a chosen job needs are
    yielded too.

    Raises:
        UserError: an unknown architecture or method, a bad parameter, an image side that a network
            can't take, updates that don't see all samples once.
    """
    for name in (matrix.teacher, *matrix.students, *matrix.plain):
        _check_side(name, setting.job)
    seen: set[Job] = set()
    for part in matrix.parts:
        for cell in _cells_of(part, setting, only, weights):
            if cell.job not in seen:
                seen.add(cell.job)
                yield cell


def _cells_of(matrix: Matrix, setting: Setting, only: str | None, weights: str) -> Iterator[Cell]:
    """All cells of a matrix without rows; some may come twice."""
    recipes = [_steps(recipe) for recipe in matrix.methods]
    plain = [_steps("baseline"), *(steps for steps in recipes if not steps[0].needs_teacher)]
    trained = dict.fromkeys(matrix.students, recipes)
    for name in matrix.plain:  # one that is a student as well keeps what it has
        trained[name] = [*trained.get(name, ()), *(s for s in plain if s not in trained.get(name, ()))]
    converts = [_convert(spec) for spec in matrix.convert]
    if "maps" in matrix.unlabelled and not any(steps[0].needs_teacher for steps in recipes):
        raise UserError(
            f"unlabelled maps: no method has a teacher, whose maps they would be; methods: "
            f"{', '.join(matrix.methods)}; add one such as pm-kd"
        )
    for seed, updates, known in itertools.product(
        dict.fromkeys(matrix.seeds), matrix.updates, _labels(matrix, setting.unlabelled)
    ):
        _check_updates(updates, setting)
        like = replace(setting.job, seed=_own_seed(seed, setting), updates=updates)
        own = replace(setting, job=like)
        teacher = replace(_job(own, matrix.teacher, plain[0][0], "dice-bce", ()), **_of_teacher(known))
        teacher = replace(teacher, threads=setting.teacher_threads)
        if weights:
            teacher = replace(teacher, weights=weights, compiled=False)
        first = Cell(teacher, probe(teacher.architecture, teacher).reason)
        if teacher.labels == 0 and not first.reason:
            first = replace(first, reason=NOTHING_KNOWN)
        chains = [
            _chain(own, (student, loss, steps), first, known)
            for student, specs in trained.items()
            for loss in matrix.seg_loss
            for steps in specs
        ]
        yield from _with_needed(_crossed([[first], *chains], converts), only)


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
Steps = tuple[Any, ...]
Known = dict[str, Any]
"""Fields of a job that say what is known of the training patients."""


def _labels(matrix: Matrix, more_images: bool) -> list[Known]:
    """Combinations of the axes of labels; those that do nothing take their default.

    Where all labels are known that is what the teacher knows, and, unless there are images without masks
    (``more_images``), what is made of images without labels.
    """
    found: list[Known] = []
    for labels, teacher, unlabelled in itertools.product(
        matrix.labels, matrix.teacher_labels, matrix.unlabelled
    ):
        known: Known = {"labels": labels, "teacher_labels": teacher, "unlabelled": unlabelled}
        if labels == "all":
            known = {"labels": None} | ({"unlabelled": unlabelled} if more_images else {})
        found.append(known)
    return [known for k, known in enumerate(found) if known not in found[:k]]


def _of_teacher(known: Known) -> Known:
    """What the teacher of a student with those labels knows."""
    if known.get("teacher_labels", "same") == "same":
        return {"labels": known["labels"]}
    return {"teacher_labels": known["teacher_labels"]}


def _chain(setting: Setting, what: tuple[str, str, Steps], teacher: Cell, known: Known) -> list[Cell]:
    """The cells of a student, an L_seg and a recipe, one a step, each made from the one before."""
    student, loss, (train, *later) = what
    teachers = (teacher.job.id,) if train.needs_teacher else ()
    job = _job(setting, student, train, loss, teachers)
    job = replace(job, **known) if teachers else replace(job, labels=known["labels"])
    reason = _unsupported(job, train, teacher.job)
    unknown = teacher.job.labels == 0 or job.unlabelled == "none" or not teachers
    if not reason and job.labels == 0 and unknown:
        reason = NOTHING_KNOWN
    first = Cell(job, reason, (train,))
    if replace(job, threads=teacher.job.threads) == teacher.job:
        first = teacher  # the very same network
    cells = [first]
    for step in later:
        cells.append(_made_from(cells[-1], step))
    return cells


def _made_from(source: Cell, step: methods.Step) -> Cell:
    """The cell whose job takes one more step from the network of ``source``."""
    steps = (*(source.steps or _steps("baseline")), step)
    job = replace(
        source.job,
        method=step.name,
        parameters=tuple(sorted(methods.parameters(step).items())),
        source=source.job.id,
        weights="",
        recipe=" > ".join(map(methods.text, steps)),
    )
    if step.kind == "convert":  # what decides how training computes does nothing here
        job = replace(job, teachers=(), compiled=False, recompute=False, micro_batch=BATCH_SIZE)
    job = replace(job, plugin=plugins.hash_for(job))
    own = step.supports(job.spatial_dims, job.out_channels)
    reason = f"its source: {source.reason}" if source.reason else f"{step.name}: {own}" if own else ""
    return Cell(job, reason, steps)


def _crossed(chains: list[list[Cell]], converts: list[methods.Step]) -> list[Cell]:
    """All cells of the chains, each once, and every trained network among them with every conversion."""
    found: dict[Job, Cell] = {}
    for cell in (cell for chain in chains for cell in chain):
        found.setdefault(cell.job, cell)
        if not cell.steps or cell.steps[-1].kind != "convert":
            for made in (_made_from(cell, step) for step in converts):
                found.setdefault(made.job, made)
    return list(found.values())


def _with_needed(found: list[Cell], only: str | None) -> list[Cell]:
    """The chosen cells, and those whose networks they need."""
    needed: set[str] = set()
    kept = []
    for cell in reversed(found):  # what is needed comes before
        if cell.job.id in needed or _chosen(cell, only):
            kept.append(cell)
            needed |= set(() if cell.reason else cell.job.needs)
    return kept[::-1]


def _unsupported(job: Job, method: methods.Method, teacher: Job) -> str:
    """Why the cell can't be: what its network or method says, or taps that are missing."""
    student, teaching = probe(job.architecture, job), Probe()
    reasons = [student.reason]
    if own := method.supports(job.spatial_dims, job.out_channels):
        reasons.append(f"{job.method}: {own}")
    if own := method.refuses(job.micro_batch < BATCH_SIZE, job.unlabelled != "none"):
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


def _job(setting: Setting, architecture: str, step: methods.Step, loss: str, teachers: tuple) -> Job:
    job = replace(
        setting.job,
        architecture=architecture,
        method=step.name,
        parameters=tuple(sorted(methods.parameters(step).items())),
        seg_loss=loss,
        teachers=teachers,
    )
    job = replace(job, plugin=plugins.hash_for(job))
    if probe(architecture, job).reason:
        return job
    flops = training_flops(job, setting.train_cases)
    pays = setting.can_compile and flops >= COMPILE_FROM_FLOPS
    return replace(job, compiled=pays and not job.recompute)


def _chosen(cell: Cell, only: str | None) -> bool:
    """Whether ``--only`` names the cell: ``architecture:recipe``, either of which may be left out."""
    if only is None:
        return True
    architecture, _, recipe = only.partition(":")
    steps = cell.steps or _steps("baseline")
    named = fnmatch.fnmatchcase(cell.job.architecture, architecture.strip() or "*")
    return named and methods.matches(recipe.strip() or "*", steps)


def _steps(recipe: str) -> Steps:
    try:
        return methods.steps(recipe)
    except ValueError as error:
        raise UserError(str(error)) from None


def _convert(spec: str) -> methods.Step:
    try:
        step: methods.Step = methods.build(spec)
    except ValueError as error:
        raise UserError(f"convert: {error}") from None
    if step.kind != "convert":
        known = ", ".join(methods.names("convert"))
        raise UserError(f"convert: {spec!r} is no conversion; known: {known}")
    return step


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
