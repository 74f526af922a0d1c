"""A matrix file to jobs: architectures × methods × seeds, crossed by a pure generator."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

import architectures
import methods
from bench.compute.compiling import COMPILE_FROM_FLOPS
from bench.errors import UserError
from bench.files.checked import check
from bench.job import Job
from bench.planning.estimates import taps, training_flops
from bench.planning.session import Setting
from bench.protocol import SEEDS, SEG_LOSSES

BUILT_IN = Path(__file__).parent / "matrices"
LARGEST_SIDE = 8192
"""Of images and patches, in pixels; beyond it one image takes gigabytes."""
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Matrix(BaseModel):
    """What a matrix file may say; unknown keys are refused.

    ``teacher`` trains once a seed, plainly, with the default loss; every student of ``students`` is
    crossed with every method of ``methods``, every loss of ``seg_loss`` and every seed; those of ``plain``
    train without a teacher. ``workers``
    jobs run at a time, the cores divided among them, unless the study or ``--workers`` says otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str
    students: Names
    plain: tuple[str, ...] = ()
    methods: Names = ("baseline", "pm-kd", "at-kd", "combined")
    seg_loss: Names = ("dice-bce",)
    seeds: Annotated[tuple[Annotated[int, Field(lt=SEEDS)], ...], Field(min_length=1)] = (0,)
    dataset: str = "phantom"
    image_size: int | None = Field(default=None, ge=1, le=LARGEST_SIDE)
    workers: int | None = Field(default=None, ge=1, le=1024)


@dataclass(frozen=True)
class Cell:
    """A job, or why there is none (``reason``)."""

    job: Job
    reason: str = ""


class _Loader(yaml.SafeLoader):
    """YAML as a matrix needs it: no key twice; no anchors and no tags, which can make much of little."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor or event.tag:
            raise yaml.MarkedYAMLError(
                problem="anchors (&), aliases (*) and tags (!) are not understood; write the values out",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.most_common(1):
            if count > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is there twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_matrix(name: str) -> Matrix:
    """A built-in matrix by name, or a YAML file by path.

    Raises:
        UserError: no such matrix, not YAML, an unknown key, a value that makes no sense.
    """
    built_in = {path.stem: path for path in BUILT_IN.glob("*.yaml")}
    path = built_in.get(name, Path(name))
    try:
        content = yaml.load(path.read_bytes(), _Loader)
    except OSError as error:
        known = ", ".join(sorted(built_in))
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise UserError(
            f"--matrix {name!r}: no such matrix{reason}; known: {known}, or a YAML file's path"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    return parse_matrix(content, str(path))


def parse_matrix(content: Any, where: str) -> Matrix:
    """Check the content of a matrix file; ``where`` is its name in errors."""
    if not isinstance(content, dict):
        raise UserError(f"{where}: must hold keys and values (teacher:, students:, ...)")
    matrix: Matrix = check(Matrix, content, where)
    for loss in matrix.seg_loss:
        if loss not in SEG_LOSSES:
            raise UserError(f"{where}: seg_loss {loss!r} is unknown; known: {', '.join(SEG_LOSSES)}")
    if any(seed < 0 for seed in matrix.seeds):
        raise UserError(f"{where}: seeds must not be negative")
    return matrix


def cells(matrix: Matrix, setting: Setting, only: str | None = None, weights: str = "") -> Iterator[Cell]:
    """All cells, each once, teachers before their students.

    ``weights`` is the checksum of given weights that stand in for the teacher's training; ``only``
    is ``architecture:method`` with wildcards; a teacher that a chosen student needs is
    yielded too.

    Raises:
        UserError: an unknown architecture or method, a bad parameter, an image side that a network
            can't take.
    """
    for name in (matrix.teacher, *matrix.students, *matrix.plain):
        _check_side(name, setting.job)
    for seed in dict.fromkeys(matrix.seeds):
        teacher = _job(setting, matrix.teacher, "baseline", "dice-bce", seed, ())
        teacher = replace(teacher, threads=setting.teacher_threads)
        if weights:
            teacher = replace(teacher, weights=weights, compiled=False)
        students = [
            cell
            for student in (*matrix.students, *matrix.plain)
            for loss in matrix.seg_loss
            for method in (("baseline",) if student in matrix.plain else matrix.methods)
            for cell in _cell(setting, student, method, loss, seed, teacher)
            if _chosen(cell.job, only) and replace(cell.job, threads=teacher.threads) != teacher
        ]
        if _chosen(teacher, only) or any(cell.job.teachers for cell in students):
            yield Cell(teacher)
        yield from dict.fromkeys(students)


def _cell(
    setting: Setting, student: str, method: str, loss: str, seed: int, teacher: Job
) -> Iterator[Cell]:
    built = _method(method)
    teachers = (teacher.id,) if built.needs_teacher else ()
    job = _job(setting, student, method, loss, seed, teachers)
    reason = ""
    if built.needs_taps and not taps(student, setting.job.spatial_dims) & taps(
        teacher.architecture, setting.job.spatial_dims
    ):
        reason = f"{student} and {teacher.architecture} have no tap of the same side and stride"
    yield Cell(job, reason)


def _job(setting: Setting, architecture: str, method: str, loss: str, seed: int, teachers: tuple) -> Job:
    built = _method(method)
    job = replace(
        setting.job,
        architecture=architecture,
        method=built.name,
        parameters=tuple(sorted(methods.parameters(built).items())),
        seg_loss=loss,
        seed=seed,
        teachers=teachers,
    )
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
