"""Architectures × methods × folds × seeds × labels, crossed into jobs by a pure generator."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import architectures
import methods
from bench.errors import UserError
from bench.job import Job
from bench.planning.chains import (
    NOTHING_KNOWN,
    Around,
    Cell,
    Known,
    Teaching,
    chain,
    job_of,
    made_from,
    steps_of,
)
from bench.planning.estimates import probe
from bench.planning.matrix import LARGEST_SIDE, Matrix
from bench.planning.session import Setting
from bench.planning.teaching import assistants, of_teacher, own_seed, teaching_of
from bench.protocol import BATCH_SIZE, EPOCHS, LEARNING_RATE
from methods.recipe import split


@dataclass(frozen=True)
class Given:
    """Checksums of what the user gave to teach: weights, which are not trained then, or maps."""

    weights: str = ""
    maps: str = ""


def cells(
    matrix: Matrix, setting: Setting, only: str | None = None, given: Given = Given()
) -> Iterator[Cell]:
    """All cells of a fold, each once, teachers before their students.

    ``only`` is as in ``chosen``; the teacher and the sources that a chosen job needs are yielded too. Where
    maps are ``given`` there is no teacher.

    Raises:
        UserError: an unknown architecture or method, a bad parameter, an image side that a network
            can't take, updates that don't see all samples once.
    """
    for name in (matrix.teacher, *matrix.students, *matrix.plain, *assistants(matrix)):
        _check_side(name, setting)
    _check_maps_are_learned(matrix)
    seen: set[Job] = set()
    for part in matrix.parts:
        for cell in _cells_of(part, setting, only, given):
            if cell.job not in seen:
                seen.add(cell.job)
                yield cell


def _check_maps_are_learned(matrix: Matrix) -> None:
    """Refuse ``unlabelled: maps`` where nobody learns a map."""
    asking = [part for part in matrix.parts if "maps" in part.unlabelled]
    methods = list(dict.fromkeys(recipe for part in asking for recipe in part.methods))
    if asking and not any(steps_of(recipe)[0].needs_teacher for recipe in methods):
        raise UserError(
            f"unlabelled maps: no method has a teacher, whose maps they would be; methods: "
            f"{', '.join(methods)}; add one such as pm-kd"
        )


def _cells_of(matrix: Matrix, setting: Setting, only: str | None, given: Given) -> Iterator[Cell]:
    """All cells of a matrix without rows; some may come twice."""
    recipes = [steps_of(recipe) for recipe in matrix.methods]
    plain = [steps_of("baseline"), *(steps for steps in recipes if not steps[0].needs_teacher)]
    trained = dict.fromkeys(matrix.students, recipes)
    for name in matrix.plain:  # one that is a student as well keeps what it has
        trained[name] = [*trained.get(name, ()), *(s for s in plain if s not in trained.get(name, ()))]
    converts = [_convert(spec) for spec in matrix.convert]
    rates = [None if rate == LEARNING_RATE else rate for rate in matrix.learning_rate]
    axes = (dict.fromkeys(matrix.seeds), _updates(matrix, setting), _labels(matrix, setting.unlabelled))
    for seed, updates, known in itertools.product(*axes):
        like = replace(setting.job, seed=own_seed(seed, setting), updates=updates)
        around = _around(matrix, replace(setting, job=like), known, given)
        chains = [] if given.maps else [[around.teacher]]
        students = itertools.product(trained, matrix.seg_loss, matrix.teachers, matrix.shuffled)
        for student, loss, kind, shuffled in students:
            teaching = replace(teaching_of(kind, around, student, loss, seed), shuffled=shuffled)
            chains.append(list(teaching.cells))
            chains += [
                chain(around, (student, loss, steps), teaching, rate)
                for steps in trained[student]
                for rate in ((None,) if steps[0].needs_teacher else rates)
            ]
        yield from _with_needed(_crossed(chains, converts), only)


def _around(matrix: Matrix, setting: Setting, known: Known, given: Given) -> Around:
    """The matrix's teacher, which is what teaches unless maps are given or the matrix says otherwise."""
    teacher = job_of(setting, matrix.teacher, steps_of("baseline")[0], "dice-bce")
    teacher = replace(teacher, **of_teacher(known), threads=setting.teacher_threads)
    if given.weights:
        teacher = replace(teacher, weights=given.weights, compiled=False)
    reason = probe(teacher.architecture, teacher).reason
    first = Cell(teacher, reason or ("" if teacher.labels != 0 else NOTHING_KNOWN))
    usual = Teaching(maps=given.maps) if given.maps else Teaching((first,))
    return Around(setting, known, first, usual)


def _updates(matrix: Matrix, setting: Setting) -> list[int | None]:
    """The axis of updates; the number that a job has anyway is no other job.

    Raises:
        UserError: a training that doesn't see every sample once.
    """
    whole = setting.train_cases // BATCH_SIZE
    least = EPOCHS * math.ceil(whole / EPOCHS)
    for updates in matrix.updates:
        if updates is not None and updates < whole:
            raise UserError(
                f"updates {updates}: the {setting.train_cases} training samples fill {whole} batches; "
                f"training must see them once, which takes {least} at least"
            )
    return list(dict.fromkeys(None if n == setting.usual_updates else n for n in matrix.updates))


def _labels(matrix: Matrix, more_images: bool) -> list[Known]:
    """Combinations of the axes of labels; those that do nothing take their default.

    Where all labels are known that is what the teacher knows, and, unless there are images without masks
    (``more_images``), what is made of images without labels.
    """
    found: list[Known] = []
    for known_to_teacher in matrix.teacher_labels if set(matrix.labels) == {"all"} else ():
        if known_to_teacher != "same":
            raise UserError(
                f"teacher_labels {known_to_teacher}: where students know all labels, so does the teacher; "
                "give labels, the number of labelled patients"
            )
    for labels, teacher, unlabelled in itertools.product(
        matrix.labels, matrix.teacher_labels, matrix.unlabelled
    ):
        known: Known = {"labels": labels, "teacher_labels": teacher, "unlabelled": unlabelled}
        if labels == "all":
            known = {"labels": None} | ({"unlabelled": unlabelled} if more_images else {})
        found.append(known)
    return [known for k, known in enumerate(found) if known not in found[:k]]


def _crossed(chains: list[list[Cell]], converts: list[methods.Step]) -> list[Cell]:
    """All cells of the chains, each once, and every trained network among them with every conversion."""
    found: dict[Job, Cell] = {}
    for cell in itertools.chain.from_iterable(chains):
        found.setdefault(cell.job, cell)
        if not cell.steps or cell.steps[-1].kind != "convert":
            for made in (made_from(cell, step) for step in converts):
                found.setdefault(made.job, made)
    return list(found.values())


def _with_needed(found: list[Cell], only: str | None) -> list[Cell]:
    """The chosen cells, and those whose networks they need."""
    needed: set[str] = set()
    kept = []
    for cell in reversed(found):  # what is needed comes before
        if cell.job.id in needed or chosen(cell, only):
            kept.append(cell)
            needed |= set(() if cell.reason else cell.job.needs)
    return kept[::-1]


def chosen(cell: Cell, only: str | None) -> bool:
    """Whether ``--only`` names the cell: ``architecture:recipe`` with wildcards, several with commas.

    Either part may be left out; None names all.
    """
    return only is None or any(_matches(cell, pattern) for pattern in patterns(only))


def patterns(only: str) -> list[str]:
    """What ``--only`` names, one by one; commas in brackets belong to a recipe."""
    return split(only, ",")


def _matches(cell: Cell, pattern: str) -> bool:
    architecture, _, recipe = pattern.partition(":")
    steps = cell.steps or steps_of("baseline")
    named = fnmatch.fnmatchcase(cell.job.architecture, architecture.strip() or "*")
    return named and methods.matches(recipe.strip() or "*", steps)


def _convert(spec: str) -> methods.Step:
    try:
        step: methods.Step = methods.build(spec)
    except ValueError as error:
        raise UserError(f"convert: {error}") from None
    if step.kind != "convert":
        known = ", ".join(methods.names("convert"))
        raise UserError(f"convert: {spec!r} is no conversion; known: {known}")
    return step


def _check_side(architecture: str, setting: Setting) -> None:
    """Refuse an image size that the network can't take, and advise one that it can, where there is one."""
    try:
        stride = architectures.stride(architecture)
    except ValueError as error:
        raise UserError(str(error)) from None
    size, largest = setting.job.image_size, setting.largest
    if size > LARGEST_SIDE:
        raise UserError(f"--image-size {size}: must be {LARGEST_SIDE} at most")
    wrong = [side for side in _sides(size, largest) if side < stride or side % stride]
    if not wrong:
        return
    if thin := [axis for axis, side in zip("xyz", largest, strict=False) if side < stride]:
        slices = ", or give --slices axial" if thin == ["z"] else ""
        raise UserError(
            f"{architecture} needs a multiple of {stride} along each axis; along {' and '.join(thin)} the "
            f"training volumes are too thin, {min(largest)} voxels with their padding, and no --image-size "
            f"changes that: take a network of fewer levels{slices}"
        )
    below = max(stride, min(wrong) // stride * stride)
    better = [below, below + stride] if not largest or _fits(below + stride, stride, largest) else [below]
    seen = "" if size in wrong else f": a patch of {'x'.join(map(str, setting.job.patch))}"
    raise UserError(
        f"--image-size {size}{seen}: {architecture} needs a multiple of {stride}, "
        f"e.g. {' or '.join(map(str, better))}"
    )


def _sides(size: int, largest: tuple[int, ...]) -> list[int]:
    """The image size, and the sides of a patch where volumes end before it."""
    return [size, *(min(size, side) for side in largest)]


def _fits(size: int, stride: int, largest: tuple[int, ...]) -> bool:
    """Whether volumes fill a patch of that size, and a network of that stride can take it."""
    return size <= max(largest) and all(side % stride == 0 for side in _sides(size, largest))
