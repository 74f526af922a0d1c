"""What a matrix file may say, and reading it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

import methods
from bench.errors import UserError
from bench.files.checked import check
from bench.planning.options import check_updates
from bench.protocol import CONTRASTS, LEARNING_RATE, SEEDS, SEG_LOSSES
from methods.recipe import split

BUILT_IN = Path(__file__).parent / "matrices"
LARGEST_SIDE = 8192
"""Of images and patches, in pixels; beyond it one image takes gigabytes."""
Names = Annotated[tuple[str, ...], Field(min_length=1)]
SEVERAL = (
    Field(min_length=1),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else (value,)),
)
"""Of an axis: one value stands for a list of one."""


LABELS = Annotated[tuple[Annotated[int, Field(ge=0)] | Literal["all"], ...], *SEVERAL]
TEACHER_LABELS = Annotated[tuple[Literal["same", "disjoint", "all"], ...], *SEVERAL]
UNLABELLED = Annotated[tuple[Literal["none", "maps"], ...], *SEVERAL]
TEACHERS = Annotated[tuple[Annotated[int, Field(ge=1, le=100)] | str, ...], *SEVERAL]
SHUFFLED = Annotated[tuple[bool, ...], *SEVERAL]
RATES = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], *SEVERAL]
UPDATES = Annotated[tuple[int | None, ...], *SEVERAL]


class Row(BaseModel):
    """A part of a matrix: the axes in which it differs from what the matrix says for all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Names | None = None
    updates: UPDATES | None = None
    labels: LABELS | None = None
    teacher_labels: TEACHER_LABELS | None = None
    unlabelled: UNLABELLED | None = None
    teachers: TEACHERS | None = None
    shuffled: SHUFFLED | None = None
    learning_rate: RATES | None = None


class Matrix(BaseModel):
    """What a matrix file may say; unknown keys are refused.

    ``teacher`` trains once a seed, plainly, with the default loss; every student of ``students`` is crossed
    with every method of ``methods``, every loss of ``seg_loss`` and every seed; those of ``plain`` with
    those that need no teacher. ``workers`` jobs run at a time, the cores divided among them, unless the
    study or ``--workers`` says otherwise.

    Further axes: ``folds``; ``updates``; ``labels``, the number of training patients that L_seg knows, with
    ``teacher_labels`` and ``unlabelled``; ``teachers``, who teaches, the control ``shuffled``, and
    ``learning_rate``, of plain students alone (docs/protocol.md). ``contrasts`` names the differences,
    ``architecture:method`` each, that a study with folds may claim. ``plugins`` are files, as seen from the
    matrix file.

    ``methods`` holds recipes, ``at-kd > int8`` each; ``convert`` conversions, with which every trained
    network is crossed, the teacher too.

    Where not all of a crossing is wanted ``rows`` names parts of it: each is the matrix with some axes of
    its own, and what is run is all of them together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str
    students: Names
    plain: tuple[str, ...] = ()
    methods: Names = ("baseline", "pm-kd", "at-kd", "combined")
    convert: Annotated[tuple[str, ...], *SEVERAL] = ()
    seg_loss: Names = ("dice-bce",)
    seeds: Annotated[tuple[Annotated[int, Field(lt=SEEDS)], ...], Field(min_length=1)] = (0,)
    dataset: str = "phantom"
    image_size: int | None = Field(default=None, ge=1, le=LARGEST_SIDE)
    workers: int | None = Field(default=None, ge=1, le=1024)
    folds: int | None = Field(default=None, ge=2, le=1000)
    updates: UPDATES = (None,)
    labels: LABELS = ("all",)
    teacher_labels: TEACHER_LABELS = ("same",)
    unlabelled: UNLABELLED = ("none",)
    teachers: TEACHERS = (1,)
    shuffled: SHUFFLED = (False,)
    learning_rate: RATES = (LEARNING_RATE,)
    rows: tuple[Row, ...] = ()
    contrasts: tuple[str, ...] | None = None
    plugins: tuple[str, ...] = ()

    @property
    def parts(self) -> list[Matrix]:
        """One matrix a row, or this one where there are no rows."""
        own = [
            {key: value for key, value in row.model_dump().items() if value is not None}
            for row in self.rows
        ]
        return [self.model_copy(update={**changes, "rows": ()}) for changes in own or [{}]]


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
        raise UserError(f"{path}: not YAML ({error})") from None
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
    for kind in (kind for part in (matrix, *matrix.parts) for kind in part.teachers):
        if isinstance(kind, str) and kind != "twin" and ":" not in kind:
            raise UserError(
                f"{where}: teachers {kind!r} is neither a number, twin, nor an assistant as "
                "architecture:recipe"
            )
    for updates in (updates for part in (matrix, *matrix.parts) for updates in part.updates):
        if updates is not None:
            check_updates(f"{where}: updates", updates)
    _check_contrasts(matrix, where)
    return matrix


def _check_contrasts(matrix: Matrix, where: str) -> None:
    """Refuse contrasts that are no differences of this matrix, or too many."""
    possible, named = differences(matrix), [canonical(name) for name in matrix.contrasts or ()]
    for name, typed in zip(named, matrix.contrasts or (), strict=True):
        if name not in possible:
            known = ", ".join(possible) or "none"
            raise UserError(f"{where}: contrasts names {typed!r}; a student's distilled cells are: {known}")
    if len(set(named)) > CONTRASTS:
        raise UserError(f"{where}: contrasts names more than {CONTRASTS}; so many can't all be claimed")


def differences(matrix: Matrix) -> list[str]:
    """The cells that have a plain one to be compared with, as ``student:method``."""
    recipes = [recipe for part in matrix.parts for recipe in part.methods]
    trained = dict.fromkeys(split(recipe, ">")[0] for recipe in recipes)
    names = [canonical(f"{student}:{spec}") for student in matrix.students for spec in trained]
    return [name for name in dict.fromkeys(names) if not name.endswith(":baseline")]


def contrasts(matrix: Matrix) -> list[str]:
    """The differences that a new study with folds may claim: those named, or all where they are few."""
    if matrix.contrasts is not None:
        return list(dict.fromkeys(map(canonical, matrix.contrasts)))
    every = differences(matrix)
    return every if len(every) <= CONTRASTS else []


def canonical(name: str) -> str:
    """``student:method`` with the method as a job's recipe has it: only what is not its default."""
    student, _, spec = name.strip().partition(":")
    try:
        return f"{student.strip()}:{methods.text(methods.build(spec.strip()))}"
    except ValueError:
        return name.strip()
