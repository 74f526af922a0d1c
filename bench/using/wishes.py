"""What ``predict``, ``export`` and ``choose`` are asked for beside networks; declared as ``Options``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.planning.options import Options, check_flags, flag, one_of, positive

RUNTIMES = ("onnxruntime", "openvino")
"""That a bundle may be for."""


def _as_of_a_matrix(name: str) -> Any:
    """An option that ``Options`` declares."""
    [own] = [own for own in dataclasses.fields(Options) if own.name == name]
    return dataclasses.field(default=own.default, metadata=own.metadata)


def _at_least_one(name: str) -> Callable[[int], None]:
    """A check of a whole number."""

    def check(value: int) -> None:
        if value < 1:
            raise UserError(f"{name} {value}: must be 1 or more")

    return check


@dataclass(frozen=True)
class Wish:
    """Of ``predict``.

    Raises:
        UserError: a value that can't be.
    """

    overlay: bool = flag(False, "Pictures of what was found, too.")
    masks: Path | None = flag(
        None, "A folder of true masks by the names of images, to score by.", shown={"metavar": "FOLDER"}
    )
    overwrite: bool = flag(False, "Replace what is there.")
    threads: int | None = flag(
        None,
        "Default: all cores that the process may use.",
        shown={"metavar": "N"},
        check=_at_least_one("--threads"),
    )
    memory_gb: float | None = flag(
        None,
        "Predict volumes that need more in blocks; default: half of what is free.",
        shown={"metavar": "G"},
        check=positive("--memory-gb"),
    )
    affine: str = _as_of_a_matrix("affine")
    device: str = _as_of_a_matrix("device")
    plugin: tuple[Path, ...] = _as_of_a_matrix("plugin")
    """Loaded before the network is opened; from Python by ``open_study``."""

    def __post_init__(self) -> None:
        check_flags(self)


@dataclass(frozen=True)
class ExportWish:
    """What ``export`` is asked for beside a job and a folder.

    Raises:
        UserError: a value that can't be.
    """

    runtime: str = flag(
        "",
        "Of a network in torch: onnxruntime or openvino; default: the first that is installed.",
        shown={"metavar": "NAME"},
        check=one_of("--runtime", RUNTIMES),
    )
    refit: bool = flag(False, "Train its recipe once more, on all patients, and export that.")
    data: Path | None = flag(None, "The study's data, for --refit.", shown={"metavar": "FOLDER"})
    name_cases: bool = flag(False, "Name cases in the card; else the worst are numbered.")
    overwrite: bool = flag(False, "Replace what is there.")
    plugin: tuple[Path, ...] = _as_of_a_matrix("plugin")

    def __post_init__(self) -> None:
        check_flags(self)


@dataclass(frozen=True)
class Limits:
    """Of ``choose``.

    Raises:
        UserError: a value that can't be.
    """

    max_ms: float | None = flag(
        None, "Milliseconds of an image, p50.", shown={"metavar": "MS"}, check=positive("--max-ms")
    )
    threads: int = flag(1, "That compute it.", shown={"metavar": "N"}, check=_at_least_one("--threads"))
    side: int | None = flag(
        None,
        "Of the image that is timed; default: the network's own, of volumes a whole one.",
        shown={"metavar": "PIXELS"},
        check=_at_least_one("--side"),
    )
    max_mb: float | None = flag(
        None, "Size of the file.", shown={"metavar": "MB"}, check=positive("--max-mb")
    )
    max_memory_mb: float | None = flag(
        None,
        "Memory of one inference.",
        shown={"metavar": "MB"},
        check=positive("--max-memory-mb"),
    )
    within: float | None = flag(
        None,
        "Dice that it may lose on the teacher, by non-inferiority, e.g. 0.02.",
        shown={"metavar": "DICE"},
        check=positive("--within"),
    )
    runtime: str = flag("", "torch, openvino or onnxruntime; default: any.", shown={"metavar": "NAME"})
    here: bool = flag(False, "Measure again on this machine, and score INT8 again.")
    json: bool = flag(False, "The answer as JSON.")
    data: Path | None = flag(None, "The study's data, for --here.", shown={"metavar": "FOLDER"})
    plugin: tuple[Path, ...] = _as_of_a_matrix("plugin")

    def __post_init__(self) -> None:
        check_flags(self)
