"""Ways to run planned jobs. All run the same command, ``run_bench.py job STUDY ID``.

An engine runs jobs on other machines than the one that it is called on: ``ray`` and ``slurm``, each with
an extra of its name. ``local`` needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

from bench.errors import UserError
from bench.spec import Job
from bench.store import Study

EXECUTORS = ("local", "ray", "slurm")


class Engine(Protocol):
    """What runs jobs elsewhere."""

    def run(
        self, study: Study, jobs: Sequence[Job], flags: dict[str, Any], say: Callable[[str], None]
    ) -> int:
        """Run ``jobs`` as their graph allows; the number of those that left no result."""

    def profile(self, study: Study, say: Callable[[str], None]) -> None:
        """Measure the study's networks, alone on one machine."""


def engine(name: str, address: str | None = None, slurm: str | None = None) -> Engine | None:
    """The engine of that name, with what ``--address`` or ``--slurm`` say; None for ``local``.

    Raises:
        UserError: no such executor, its extra is not installed, or an option that is not its own or wrong.
    """
    if name not in EXECUTORS:
        raise UserError(f"--executor {name!r} is unknown; known: {', '.join(EXECUTORS)}")
    for option, owner, value in (("--address", "ray", address), ("--slurm", "slurm", slurm)):
        if value is not None and name != owner:
            raise UserError(f"{option} {value!r}: is for --executor {owner}, not {name}")
    if name == "local":
        return None
    try:
        module = import_module(f"bench.executors.{name}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"--executor {name}: the package {error.name} is missing; "
            f"pip install -c constraints.txt -e '.[{name}]'"
        ) from None
    chosen: Engine = module.engine(address if name == "ray" else slurm)
    return chosen
