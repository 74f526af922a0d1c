"""Every option, declared once: its flag, help, check and default. One value of it is passed whole.

``Options`` goes from the command line to planning, to the study's session and to the job's process. What
an option says of how its flag is read, whether ``study.json`` keeps it and whether jobs are told of it
stands beside it (``flag``); the command line and the executors follow that, so that a new option is a
line here, a field of ``Job`` where it decides results, and the place that uses it.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.data.teacher_saw import kept
from bench.errors import UserError
from bench.protocol import BATCH_SIZE, EPOCHS, SEEDS

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Flag:
    """What there is to know of an option beside its type and default."""

    help: str
    name: str = ""
    """As it is typed; empty: ``--name-of-the-field``."""
    parse: Callable[[Any], Any] | None = None
    """From text, where the type is none that a command line knows; of a repeatable flag from a list."""
    check: Callable[[Any], None] = lambda value: None
    """Raises ``UserError`` for a value that can't be; not called with the default."""
    frozen: str = ""
    """Its key in ``study.json``, which keeps it for all later calls; empty: it is for one call."""
    keep: Callable[[Any], Any] = lambda value: value
    """Its value there."""
    of_a_job: bool = False
    """Whether the process of each job is told."""
    shown: dict[str, Any] = field(default_factory=dict)
    """What the command line shows more: ``metavar``, ``min``, ``max``."""


def flag(default: Any, help: str, **more: Any) -> Any:
    """An option with a flag; ``more`` are fields of ``Flag``."""
    return field(default=default, metadata={"flag": Flag(help, **more)})


def parse_numbers(name: str, text: str) -> tuple[int, ...]:
    """``0,1,2``, all different."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 0 or max(numbers) >= SEEDS or len(set(numbers)) < len(numbers):
        raise UserError(f"{name} {text!r}: must be different whole numbers from 0, e.g. 0,1,2")
    return numbers


def check_updates(name: str, value: int) -> None:
    """Refuse what 20 epochs of whole batches can't make."""
    if value < EPOCHS or value % EPOCHS:
        near = max(EPOCHS, round(value / EPOCHS) * EPOCHS)
        raise UserError(f"{name} {value}: must be a multiple of the {EPOCHS} epochs, e.g. {near}")


def one_of(name: str, known: tuple[str, ...]) -> Callable[[str], None]:
    """A check that the value is known."""

    def check(value: str) -> None:
        if value not in known:
            raise UserError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    return check


def _check_folds(value: int) -> None:
    if value < 2:
        raise UserError(f"--folds {value}: must be 2 at least; without it there is one split")


def _check_slices(value: str) -> None:
    if value not in ("", "axial"):
        raise UserError(f"--slices {value!r} is unknown; known: axial")


def _check_micro_batch(value: int) -> None:
    if value < 1 or BATCH_SIZE % value:
        raise UserError(f"--micro-batch {value}: must divide the batch of {BATCH_SIZE}, e.g. 4")


def positive(name: str) -> Callable[[float], None]:
    """A check of an amount or a limit."""

    def check(value: float) -> None:
        if not 0 < value < math.inf:
            raise UserError(f"{name} {value:g}: must be positive and finite")

    return check


def check_flags(asked: Any) -> None:
    """Raise a ``UserError`` for a flag of ``asked`` that has a value which can't be."""
    for own, known in flags(type(asked)):
        value = getattr(asked, own.name)
        if value != own.default:
            known.check(value)


@dataclass(frozen=True)
class Options:
    """What a call asks for.

    Raises:
        UserError: a value that can't be, or two that exclude each other.
    """

    matrix: str | None = flag(None, "A name that 'list' has, or a YAML file.")
    dataset: str | None = flag(None, "See 'list', or a folder of images or volumes.")
    data: Path | None = flag(None, "The dataset's folder.", of_a_job=True)
    results: Path | None = flag(None, "Default: results/<dataset>; of quick results/quick.")
    image_size: int | None = flag(None, "Side of the square that networks see.")
    seeds: tuple[int, ...] | None = flag(None, "E.g. 0,1,2.", parse=partial(parse_numbers, "--seeds"))
    folds: int | None = flag(
        None, "Test every patient once, in N folds.", shown={"metavar": "N"}, check=_check_folds
    )
    fold: tuple[int, ...] | None = flag(
        None, "Only these folds now, e.g. 0,1.", parse=partial(parse_numbers, "--fold")
    )
    updates: int | None = flag(
        None,
        "Updates of every job; default: as many as 20 epochs fill, and 500 at least.",
        shown={"metavar": "N"},
        check=partial(check_updates, "--updates"),
    )
    plugin: tuple[Path, ...] = flag(
        (),
        "A Python file that registers methods, networks or datasets; repeatable.",
        parse=lambda words: tuple(Path(word) for word in words),
        shown={"metavar": "FILE"},
        of_a_job=True,
    )
    only: str | None = flag(None, "architecture:method, wildcards allowed; several with commas.")
    device: str = flag(
        "auto", "auto, cpu, cuda or mps.", check=one_of("--device", DEVICES), frozen="device", of_a_job=True
    )
    precision: str = flag(
        "auto", "auto, fp32 or bf16.", check=one_of("--precision", PRECISIONS), frozen="precision"
    )
    splits: Path | None = flag(None, "Use this splits.json.")
    patient_key: str = flag(
        "", "What of a case's name is its patient; folders by path only.", shown={"metavar": "REGEX"}
    )
    patient_column: str = flag(
        "",
        "index.csv's column of patients; folders of 2-D images by path only.",
        shown={"metavar": "NAME"},
        frozen="patient_column",
    )
    affine: str = flag(
        "",
        "sform or qform: which counts where volumes' headers contradict themselves; folders by path only.",
        check=one_of("--affine", ("sform", "qform")),
        frozen="affine",
    )
    slices: str = flag("", "axial: 2-D networks on the slices of volumes.", check=_check_slices)
    micro_batch: int | None = flag(
        None,
        "Samples in memory at a time; gradients add up.",
        shown={"metavar": "N"},
        check=_check_micro_batch,
        frozen="micro_batch",
    )
    memory_gb: float | None = flag(
        None,
        "Choose --micro-batch so that training fits.",
        shown={"metavar": "G"},
        check=positive("--memory-gb"),
        frozen="memory_gb",
    )
    recompute: bool = flag(
        False,
        "Compute inner features again instead of keeping them.",
        name="--checkpointing",
        frozen="checkpointing",
    )
    workers: int | None = flag(
        None,
        "Jobs at a time; the cores are divided among them.",
        shown={"min": 1, "max": 1024},
        frozen="workers",
    )
    executor: str = flag("local", "local, ray or slurm.")
    address: str | None = flag(None, "Of a Ray cluster, e.g. auto; else one is made.")
    slurm: str | None = flag(
        None, "Of each job: partition=…,time=…,gpus=… etc.", shown={"metavar": "KEY=VALUE,…"}
    )
    teacher: Path | None = flag(None, "Weights of the teacher (safetensors).", shown={"metavar": "WEIGHTS"})
    teacher_maps: Path | None = flag(
        None,
        "A teacher's probability maps, one a case; instead of a network.",
        shown={"metavar": "FOLDER"},
        of_a_job=True,
    )
    teacher_saw: str | None = flag(
        None,
        "Patients that a given teacher saw: a file, one a line, or unknown.",
        shown={"metavar": "FILE|unknown"},
        frozen="teacher_saw",
        keep=kept,
    )
    targets_gb: float = flag(8.0, "Largest recording of a teacher's targets, in GB.", of_a_job=True)
    no_test: bool = flag(False, "Leave the test set unread.", of_a_job=True)
    no_compile: bool = flag(
        False, "A study without torch.compile, kept in study.json.", frozen="compile", keep=operator.not_
    )
    tensorboard: bool = flag(False, "Curves for TensorBoard, in the study's tensorboard/.")
    mlflow: str | None = flag(None, "Track in MLflow, e.g. sqlite:///mlflow.db.", shown={"metavar": "URI"})
    retry_failed: bool = flag(False, "Run those that failed, were blocked or killed, only.")
    dry_run: bool = flag(False, "List the jobs, run nothing.")

    epochs: int = EPOCHS
    """Not for users, as ``steps_at_most``: the protocol's number, and fewer where tests want short runs."""
    steps_at_most: int | None = None
    """Batches an epoch; None: as many as the training samples fill."""

    def __post_init__(self) -> None:
        if self.micro_batch is not None and self.memory_gb is not None:
            raise UserError("--micro-batch and --memory-gb: give one; the second chooses the first")
        if self.teacher is not None and self.teacher_maps is not None:
            raise UserError("--teacher and --teacher-maps: give one; a student has one teacher")
        check_flags(self)

    @property
    def elsewhere(self) -> bool:
        """Whether jobs run on other machines, whose devices this one may lack."""
        return self.executor != "local"

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of a study's settings, by their keys in ``study.json``."""
        return {
            known.frozen: known.keep(getattr(self, own.name))
            for own, known in flags()
            if known.frozen and getattr(self, own.name) != own.default
        }

    @property
    def of_a_job(self) -> Options:
        """What the process of a job is told: nothing of what planning has decided."""
        names = [own.name for own, known in flags() if known.of_a_job]
        return Options(**{name: getattr(self, name) for name in (*names, "epochs", "steps_at_most")})

    def words(self) -> list[str]:
        """A command line's words for the same; what is not for users has none."""
        words: list[str] = []
        for own, known in flags():
            value = getattr(self, own.name)
            if value == own.default:
                continue
            for one in value if own.default == () else (value,):
                words.append(typed_as(own, known))
                if one is not True:
                    words.append(str(one.resolve() if isinstance(one, Path) else one))
        return words


def flags(of: Any = Options) -> list[tuple[dataclasses.Field, Flag]]:
    """The options that have a flag, in the order of the help."""
    return [(own, own.metadata["flag"]) for own in dataclasses.fields(of) if "flag" in own.metadata]


def typed_as(own: dataclasses.Field, known: Flag) -> str:
    """The word for an option on the command line."""
    return known.name or "--" + own.name.replace("_", "-")
