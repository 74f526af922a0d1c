"""What ``predict`` is asked for beside a network, inputs and a folder; declared as ``Options`` are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.planning.options import Options, check_memory, flag, flags


def _as_of_a_matrix(name: str) -> Any:
    """An option that ``Options`` declares."""
    [own] = [own for own in dataclasses.fields(Options) if own.name == name]
    return dataclasses.field(default=own.default, metadata=own.metadata)


def _check_threads(value: int) -> None:
    if value < 1:
        raise UserError(f"--threads {value}: must be 1 or more")


@dataclass(frozen=True)
class Wish:
    """All of it.

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
        check=_check_threads,
    )
    memory_gb: float | None = flag(
        None,
        "Predict volumes that need more in blocks; default: half of what is free.",
        shown={"metavar": "G"},
        check=check_memory,
    )
    device: str = _as_of_a_matrix("device")
    plugin: tuple[Path, ...] = _as_of_a_matrix("plugin")
    """Loaded before the network is opened; from Python by ``open_study``."""

    def __post_init__(self) -> None:
        for own, known in flags(type(self)):
            value = getattr(self, own.name)
            if value != own.default:
                known.check(value)
