"""Jobs that go wrong in every way, and slow ones: for processes that tests start.

As a script it is the command line with these jobs. Training takes ``EPOCHS`` epochs here. In a study that
has a file ``mended`` nothing is broken; one with a file ``slow`` takes as many seconds for every batch as
stand in it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from short_jobs import without_surfaces

import architectures
import methods
from architectures import unet
from bench.files import stopping
from bench.planning.options import Options
from bench.running import job_process
from bench.training.step import Updater
from methods.base import Method

EPOCHS = 3
study = Path()


def _raise() -> None:
    raise RuntimeError(f"no such thing in {study.resolve()}/weights/x.bin or /var/lib/secret/y.bin\nmore")


def _memory() -> None:
    raise MemoryError("Unable to allocate 3 TiB")


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit() -> None:
    os._exit(7)


WAYS = {"raises": _raise, "memory": _memory, "killed": _kill, "exits": _exit, "diverges": lambda: None}


@dataclass(frozen=True)
class Broken(Method):
    """Goes wrong in its first step, if its study isn't mended."""

    needs_teacher: ClassVar[bool] = False

    def loss(self, student: Any, targets: Any, labels: Any) -> dict[str, torch.Tensor]:
        if (study / "mended").exists():
            return {}
        WAYS[self.name]()
        return {"broken": student.logits.mean() * float("nan")}


METHODS = {name: type(name, (Broken,), {"name": name}) for name in WAYS}


def _build(name: str, *sizes: Any) -> Any:
    if not (study / "mended").exists():
        raise ValueError("this network can't be built yet")
    return unet.build("unet-4-8", *sizes)


FAMILY = SimpleNamespace(
    NAMES=("unborn",), understands=lambda name: name == "unborn", stride=lambda name: 2, build=_build
)
"""Networks of one name, ``unborn``."""


def register() -> None:
    """Let this process know what is broken."""
    methods.METHODS.update(METHODS)
    if FAMILY not in architectures.FAMILIES:
        architectures.FAMILIES = (*architectures.FAMILIES, FAMILY)


def run_job(root: Path, job_id: str, options: Options, quiet: bool = False, grace: float = 600.0) -> int:
    """The true ``run_job`` in a process of its own; leaves a line ``ID PID`` in the study's ``ran``.

    ``grace``: the seconds that SIGTERM leaves.
    """
    global study
    study, stopping.GRACE_SECONDS = root, grace
    register()
    without_surfaces()
    complete, step = job_process.complete, Updater.__call__

    def noted(*arguments: Any) -> Any:
        with (root / "ran").open("a") as file:
            file.write(f"{job_id} {os.getpid()}\n")
        return complete(*arguments)

    def slowly(self: Any, *sample: Any) -> Any:
        if (root / "slow").exists():
            time.sleep(float((root / "slow").read_text()))
        return step(self, *sample)

    job_process.complete, Updater.__call__ = noted, slowly
    return job_process.run_job(root, job_id, dataclasses.replace(options, epochs=EPOCHS), quiet)


def main() -> None:
    """The command line, its matrix without profile and report."""
    import broken_jobs  # by its own name, under which the processes find ``run_job``

    from bench import cli, commands

    register()
    without_surfaces()
    commands.run_job = broken_jobs.run_job
    commands.profile_study = commands.write_report = lambda *_: None
    cli.main()


if __name__ == "__main__":
    main()
