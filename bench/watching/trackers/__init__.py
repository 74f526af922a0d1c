"""Where else a matrix can be looked at: TensorBoard, MLflow. Both from records, both optional."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from bench.job import Job
from bench.planning.options import Options


class Tracker(Protocol):
    """Is told what jobs do. May raise anything: it is then left alone."""

    option: str

    def epoch(self, job: Job, row: Mapping[str, float]) -> None:
        """A running job has finished an epoch; ``row`` is of its curves."""

    def finished(self, job: Job, record: Mapping[str, Any]) -> None:
        """The job has a record, from now or from before; telling it again changes nothing."""

    def close(self) -> None:
        """Nothing more comes."""


def open_trackers(options: Options) -> list[Tracker]:
    """The trackers that are asked for, ready to be told what happens in the study ``--results``.

    Raises:
        UserError: what they need is not installed, or not there.
    """
    trackers: list[Tracker] = []
    root = options.results or Path()
    if options.tensorboard:
        from bench.watching.trackers.tensorboard import TensorBoard

        trackers.append(TensorBoard(root))
    if options.mlflow is not None:
        from bench.watching.trackers.mlflow import MLflow

        trackers.append(MLflow(options.mlflow, root.name))
    return trackers


def facts(job: Job) -> dict[str, str | int | float | bool]:
    """What a job is, for whom compares jobs."""
    values = job.as_dict()
    own = {f"method.{key}": value for key, value in values.pop("parameters").items() if value is not None}
    values["teachers"] = " ".join(job.teachers)
    values["patch"] = "x".join(map(str, job.patch))
    return {**values, **own, "id": job.id}


def scores(row: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The numbers of an epoch under the names that they are tracked by, loss terms together."""
    for name, value in row.items():
        if name == "dice_val":
            yield "validation/dice", value
        elif name in ("learning_rate", "seconds"):
            yield name, value
        elif name != "epoch":
            yield f"loss/{'total' if name == 'loss' else name}", value


def results(record: Mapping[str, Any]) -> dict[str, float]:
    """What came out: the scores of each part that was read, and the costs."""
    found = {
        f"final/{part}_{name}": value
        for part in ("val", "test")
        for name, value in record.get(part, {}).items()
        if name != "rows"
    }
    names = ("parameters", "size_mb", "train_seconds", "peak_memory_train_mb")
    found |= {f"cost/{name}": record.get("cost", {}).get(name) for name in names}
    found["final/best_epoch"] = record.get("best_epoch")
    numbers = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
