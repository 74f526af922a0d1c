"""The training loop: one for every cell of the matrix."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from bench.compute.memory import peak_memory_mb
from bench.study.reporter import Reporter
from bench.training.checkpoint import Checkpoint, State
from bench.training.step import Task, Updater, adapters_of, batches


@dataclass
class Trained:
    """What training leaves. ``curves`` has one row an epoch; ``model`` carries the best weights.

    Of a job that was interrupted ``seconds`` and ``peak_memory_mb`` are those of all its processes
    together, ``seconds_before`` those of the ones before; it went on after the epochs ``resumed_after``.
    The peak is that of a process's first epoch: later ones may keep more than needed
    (``bench/compute/freed_memory.py``).
    """

    model: nn.Module
    curves: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    steps: int = 0
    peak_memory_mb: float = 0.0
    resumed_after: list[int] = field(default_factory=list)
    seconds_before: float = 0.0
    eager: str = ""
    """Why a job that was to be compiled ran uncompiled."""
    rounds: int = 1
    """How often all epochs were gone through: again where a network is trained on."""


KEPT = ("curves", "best_epoch", "seconds", "peak_memory_mb", "resumed_after", "eager")
"""What a checkpoint keeps of ``Trained``."""


class Diverged(RuntimeError):
    """The loss is no longer finite."""


def train(
    task: Task,
    validate: Callable[[nn.Module], float],
    reporter: Reporter | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train the task's model in place and put the best epoch's weights into it, or the last one's.

    From a checkpoint it goes on as if it had never stopped; one is saved after every epoch, and before
    the reporter is told. The time that takes counts in no figure.

    Args:
        task: what is trained, for as many epochs as its stream has.
        validate: the model to its validation Dice, which selects the epoch (ties: the earlier).
        reporter: told each new row of the curves, and why, if compiling fails and the job goes on without.
        checkpoint: where training is kept; None keeps nothing.

    Raises:
        Diverged: the loss is no longer finite.
    """
    reporter = reporter or Reporter()
    model, stream = task.model, task.stream
    task.runtime.place(model, stream.spatial_dims)
    result = Trained(model, steps=stream.steps)

    def falls_back(reason: str) -> None:
        result.eager = reason
        reporter.runs_uncompiled(reason)

    update, state = _begin(task, falls_back)
    if checkpoint is not None:
        length = {"epochs": stream.epochs, "steps": stream.steps}
        checkpoint = replace(checkpoint, owner={**checkpoint.owner, **length})
        _go_on(task, checkpoint, state, update, result, falls_back)
    started = time.perf_counter() - result.seconds
    begin = len(result.curves)
    for epoch in range(begin, stream.epochs):
        losses = _one_epoch(task, update, epoch)
        row: dict[str, float] = {
            "epoch": epoch + 1,
            "learning_rate": float(state.schedule.get_last_lr()[0]),
            **losses,
            "dice_val": validate(model),
            "seconds": time.perf_counter() - started,
        }
        state.schedule.step()
        _keep(state, result, row, task.keep_last)
        if epoch == begin:
            result.peak_memory_mb = max(result.peak_memory_mb, peak_memory_mb(task.runtime.device))
        if checkpoint is not None:
            pause = time.perf_counter()
            result.seconds = pause - started
            checkpoint.save(state, {name: getattr(result, name) for name in KEPT})
            started += time.perf_counter() - pause
        reporter.epoch("train", row)
    result.seconds = time.perf_counter() - started
    model.load_state_dict(state.best)
    return result


def _begin(task: Task, falls_back: Callable[[str], None]) -> tuple[Updater, State]:
    """The step that is to be taken over and over, and all that it changes."""
    model, adapters = task.model, adapters_of(task)
    labelled = task.stream.labelled
    update = Updater(model, task.method, task.runtime, task.seg_loss, adapters, falls_back, labelled)
    for group in update.optimiser.param_groups:
        group["lr"] = task.learning_rate
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(update.optimiser, T_max=task.stream.epochs)
    parts = {"model": model} if adapters is None else {"model": model, "adapters": adapters}
    return update, State(parts, update.optimiser, schedule)


def _go_on(
    task: Task,
    checkpoint: Checkpoint,
    state: State,
    update: Updater,
    result: Trained,
    falls_back: Callable[[str], None],
) -> None:
    """Bring everything to where the checkpoint left it, if there is one."""
    kept = checkpoint.read(state)
    if kept is None:
        return
    for name in KEPT:
        setattr(result, name, kept.facts[name])
    result.seconds_before = result.seconds
    result.resumed_after.append(len(result.curves))
    if result.eager:
        update.leave_uncompiled()
        falls_back(result.eager)
    elif task.runtime.compiled and len(result.curves) < task.stream.epochs:
        # Compiling is judged by the first step; by another one the answer might be another.
        task.model.train()
        with contextlib.closing(batches(task.stream, task.runtime, 0, task.targets)) as first:
            update.try_out(*next(first))
    kept.restore(state)


def _keep(state: State, result: Trained, row: dict[str, float], always: bool) -> None:
    """Add the row to the curves, and keep the weights if none before were as good, or ``always``."""
    if always or not state.best or row["dice_val"] > result.curves[result.best_epoch - 1]["dice_val"]:
        state.best = copy.deepcopy(result.model.state_dict())
        result.best_epoch = int(row["epoch"])
    result.curves.append(row)


def _one_epoch(task: Task, update: Updater, epoch: int) -> dict[str, float]:
    """Train for an epoch; the means of the loss terms."""
    task.model.train()
    sums: dict[str, float] = {}
    for batch, sample in enumerate(batches(task.stream, task.runtime, epoch, task.targets)):
        for name, value in update(*sample).items():
            sums[name] = sums.get(name, 0.0) + value / task.stream.steps
        if not math.isfinite(sums["loss"]):
            raise Diverged(f"loss is {sums['loss']} in epoch {epoch + 1}, batch {batch + 1}")
    return sums
