"""Ways to run planned jobs. All do what ``run_bench.py job STUDY ID`` does.

An engine runs jobs on other machines than the one that it is called on: ``ray`` and ``slurm``, each with
an extra of its name. ``local`` needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from bench.errors import UserError
from bench.job import Job
from bench.planning.options import Options
from bench.study.store import Study
from methods.extras import how_to_get

EXECUTORS = ("local", "ray", "slurm")


class Engine(Protocol):
    """What runs jobs elsewhere."""

    def run(self, study: Study, jobs: Sequence[Job], options: Options) -> int:
        """Run ``jobs`` as their graph allows; the number of those that left no result."""

    def profile(self, study: Study) -> None:
        """Measure the study's networks, alone on one machine."""


def engine(options: Options) -> Engine | None:
    """The engine of ``--executor``, with what ``--address`` or ``--slurm`` say; None for ``local``.

    Raises:
        UserError: no such executor, its extra is not installed, or an option that is not its own or wrong.
    """
    name = options.executor
    if name not in EXECUTORS:
        raise UserError(f"--executor {name!r} is unknown; known: {', '.join(EXECUTORS)}")
    for option, owner, value in (
        ("--address", "ray", options.address),
        ("--slurm", "slurm", options.slurm),
    ):
        if value is not None and name != owner:
            raise UserError(f"{option} {value!r}: is for --executor {owner}, not {name}")
    if name == "local":
        return None
    try:
        module = import_module(f"bench.running.executors.{name}")
    except ModuleNotFoundError as error:
        raise UserError(f"--executor {name}: {how_to_get(str(error.name), name)}") from None
    chosen: Engine = module.engine(options.address if name == "ray" else options.slurm)
    return chosen
