"""What everything is measured with: the data, the networks, the step of a job, and rounds."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

import architectures
import methods
from architectures import unet
from bench.compute.device import make_deterministic
from bench.compute.freed_memory import keep_freed_memory
from bench.compute.runtime import Runtime
from bench.data.prepared_images import PreparedImages
from bench.data.stream import SampleStream
from bench.job import Job
from bench.performance.peer import Peer
from bench.planning.estimates import target_sizes
from bench.planning.session import Session
from bench.protocol import BATCH_SIZE
from bench.training import targets
from bench.training.step import Targets, Updater, batches

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Scale:
    """What is measured and how long: ``rounds`` of ``steps`` training steps each."""

    teacher: str = "unet-64-128-256-512"
    students: tuple[str, ...] = ("unet-32-64-128-256", "unet-32-64-128", "unet-32-64")
    image_size: int = 96
    rounds: int = 7
    steps: int = 2
    ways: tuple[str, ...] = (*unet.NAMES[1:], "dmfnet")
    narrow: str = "unet-8-16-32-64"
    sides: tuple[int, ...] = (64, 96, 128, 192)
    shares_of_slices: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    jobs: tuple[int, ...] = (1, 2, 4)
    product_side: int = 4096
    inference_side: int = 256
    inference_repeats: int = 20
    inference_seconds: float = 1.0
    compiled: bool = True


QUICK = Scale(
    teacher="unet-4-8-16",
    students=("unet-2-4",),
    image_size=16,
    ways=("unet-2-4",),
    narrow="unet-2-4",
    rounds=1,
    steps=1,
    sides=(16, 32),
    shares_of_slices=(0.5, 1.0),
    jobs=(1, 2),
    product_side=64,
    inference_side=32,
    inference_repeats=3,
    inference_seconds=0.0,
    compiled=False,
)
"""Seconds long: shows that the command works, and measures nothing worth reading."""


@dataclass(frozen=True)
class Lab:
    """The place of all measurements. ``scratch`` is a folder for recordings, removed afterwards."""

    session: Session
    scale: Scale
    scratch: Path
    jobs: list[Job]
    """The matrix that a study of these networks would have, one seed."""
    peer: Peer | None = None
    """Somebody else's loop to compare with."""
    uncompiled: list[str] = field(default_factory=list)
    """Why compiling failed, where it did."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Fp32, then the study's own where it is another."""
        return tuple(dict.fromkeys(("fp32", self.session.settings["precision"])))

    def runtime(self, precision: str) -> Runtime:
        """As a job's: all cores, compiled where that is possible."""
        compiled = self.scale.compiled and self.session.settings["compile"]
        return Runtime(self.session.device, precision, self.session.settings["threads"], compiled)

    def network(self, name: str) -> nn.Module:
        """Fresh weights, the same every time."""
        torch.manual_seed(0)
        dataset = self.session.dataset
        return architectures.build(name, dataset.spatial_dims, dataset.in_channels, dataset.out_channels)

    def stream(self, cases: int, side: int | None = None) -> SampleStream:
        """The stream of the first ``cases`` training cases."""
        split = replace(self.session.split, train=self.session.split.train[:cases])
        images = PreparedImages(self.session.dataset, split, side or self.scale.image_size)
        return SampleStream(images, seed=0, epochs=1, steps_at_most=max(1, cases // BATCH_SIZE))

    def short(self, side: int | None = None) -> SampleStream:
        """The stream of one round."""
        return self.stream(self.scale.steps * BATCH_SIZE, side)

    def recording(self, precision: str, side: int | None = None) -> Callable[[], Targets]:
        """Record the teacher's targets for ``short``: its pass, the cast, the writing, the checksum."""
        stream, teacher = self.short(side), self.network(self.scale.teacher)
        combined = next(job for job in self.jobs if job.method == "combined")
        compute = targets.live(
            teacher, [methods.build("combined")], stream, self.runtime(precision), self._on_eager
        )
        names = sorted(target_sizes(combined, self.scale.teacher))

        def record() -> Targets:
            folder = Path(tempfile.mkdtemp(dir=self.scratch)) / "targets"
            return targets.recorded(folder, names, compute, stream)

        return record

    def job_steps(
        self,
        name: str,
        method: str,
        precision: str,
        stream: SampleStream,
        source: Targets | None = None,
        compiled: bool = True,
    ) -> Callable[[], None]:
        """The steps that a job of ``name`` by ``method`` takes over one epoch of ``stream``."""
        runtime = self.runtime(precision)
        runtime = replace(runtime, compiled=runtime.compiled and compiled)
        model = self.network(name).train()
        runtime.place(model, self.session.dataset.spatial_dims)
        update = Updater(model, methods.build(method), runtime, "dice-bce", on_eager=self._on_eager)

        def steps() -> None:
            for batch in batches(stream, runtime, 0, source):
                update(*batch)

        return steps

    def _on_eager(self, reason: str) -> None:
        self.uncompiled.append(reason)
        log.info(reason)


def as_in_a_job(call: Callable[[], object]) -> Callable[[], object]:
    """``call`` with torch and memory set as a job sets them; memory stays so."""

    def wrapped() -> object:
        make_deterministic()
        keep_freed_memory()
        try:
            return call()
        finally:
            make_deterministic(False)

    return wrapped


def in_rounds(calls: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, list[float]]:
    """Seconds of each call in each round; every call once a round, so that a drifting machine is fair."""
    values: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            values[key].append(_seconds(call))
    return values


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
