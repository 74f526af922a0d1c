"""A job's training: the gate, the teacher's targets, the epochs; once, or in rounds."""

from __future__ import annotations

import logging
from functools import partial

import torch
from torch import nn

from bench.compute.compiling import has_batch_statistics
from bench.compute.freed_memory import has_plenty_of_memory, keep_freed_memory
from bench.planning.estimates import rounds_of
from bench.protocol import BATCH_SIZE, LEARNING_RATE
from bench.running.work import Work
from bench.scoring.evaluation import validation_dice
from bench.training.can_learn import check_can_learn
from bench.training.checkpoint import Checkpoint
from bench.training.job_parts import method_of, runtime_of_steps, trainable
from bench.training.loop import Diverged, Trained, train
from bench.training.recompute import recomputing
from bench.training.step import Task
from bench.training.teacher import teacher_targets

log = logging.getLogger(__name__)


def checkpoint_of(work: Work, number: int = 1) -> Checkpoint:
    """Where a round of the job's training is kept: the last one under the job's own name."""
    job = work.job
    name = job.id if number == rounds_of(job) else f"{job.id}round{number}"
    owner = {"job": job.id, "protocol": job.protocol}
    return Checkpoint(work.study.path("checkpoints", name), owner)


def train_fresh(work: Work) -> Trained:
    """The job's network from its first weights on, once the gate has let it through."""
    torch.manual_seed(work.job.seed)
    return _train(work, trainable(work.job), checkpoint_of(work), gate=True)


def train_rounds(work: Work, model: nn.Module) -> Trained:
    """A network that is there trained on: optimiser and schedule anew in each round, the same samples.

    Curves and best epoch are the last round's; seconds and updates those of all.
    """
    model = recomputing(model) if work.job.recompute else model
    trained = _train(work, model, checkpoint_of(work), gate=False)
    for number in range(2, rounds_of(work.job) + 1):
        before = trained
        trained = _train(work, model, checkpoint_of(work, number), gate=False)
        trained.seconds += before.seconds
        trained.rounds = before.rounds + 1
        trained.peak_memory_mb = max(trained.peak_memory_mb, before.peak_memory_mb)
    return trained


def forget(work: Work) -> None:
    """The job is done: its checkpoints go."""
    for number in range(1, rounds_of(work.job) + 1):
        checkpoint_of(work, number).remove()


def _train(work: Work, model: nn.Module, checkpoint: Checkpoint, gate: bool) -> Trained:
    job, prepared, runtime, reporter = work.job, work.prepared, work.runtime, work.reporter
    phases, options = reporter.phases, work.options
    if job.micro_batch < BATCH_SIZE and has_batch_statistics(model):
        log.info(
            f"{job.architecture} normalises by the statistics of {job.micro_batch} samples, not of a batch"
        )
    stream = work.stream
    with phases.time("decoding"):
        prepared.decode()
    if gate:  # what was trained before has passed it
        with phases.time("gate"):
            check_can_learn(model, stream, job.out_channels, job.seg_loss, runtime.device, job.micro_batch)
    with phases.time("recording"):
        targets = teacher_targets(work.study, job, stream, runtime, options, reporter)
    torch.manual_seed(job.seed)

    def validate(model: nn.Module) -> float:
        with phases.time("validation"):
            return validation_dice(model, prepared.val, prepared.dataset.classes, runtime.device)

    own = runtime_of_steps(runtime, job, model, prepared.samples, reporter)
    method = method_of(work.study, job)
    rate = LEARNING_RATE if job.learning_rate is None else job.learning_rate
    task = Task(model, method, stream, own, job.seg_loss, targets, job.keeps_last_epoch, rate)
    validated = phases.get("validation", 0.0)
    watching, keep = reporter.between_epochs, partial(_keep_memory, work)
    watching.append(keep)
    try:
        trained = train(task, validate, reporter, checkpoint)
    except Diverged:  # it would again; who tries once more has changed something
        checkpoint.remove()
        raise
    finally:
        watching.remove(keep)
    seconds = trained.seconds - trained.seconds_before - (phases.get("validation", 0.0) - validated)
    phases["training"] = phases.get("training", 0.0) + seconds
    if trained.resumed_after:
        work.origin["resumed_after_epochs"] = trained.resumed_after
    return trained


def _keep_memory(work: Work, phase: str) -> None:
    """Keep freed memory from the first epoch on, which shows what the job takes; not where it is short."""
    job, settings = work.job, work.study.settings() or {}
    saving = "memory_gb" in settings or job.recompute or job.micro_batch < BATCH_SIZE
    on_cpu = work.runtime.device.type == "cpu"
    if phase == "train" and on_cpu and not saving and has_plenty_of_memory(settings.get("workers", 1)):
        keep_freed_memory()
