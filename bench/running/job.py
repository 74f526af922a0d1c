"""One job, from its start to its record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.compute.compiling import has_batch_statistics
from bench.compute.device import make_deterministic
from bench.compute.freed_memory import has_plenty_of_memory, keep_freed_memory
from bench.compute.runtime import Runtime
from bench.data.prepared import Prepared, Scored
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.files.atomic import write_file
from bench.job import Job
from bench.planning.options import Options
from bench.planning.session import Session
from bench.protocol import BATCH_SIZE
from bench.running.record import done_record
from bench.scoring.evaluation import predict_masks, score_part, summarise, validation_dice
from bench.study.predictions import Labels, pack_masks
from bench.study.provenance import provenance
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.can_learn import check_can_learn
from bench.training.checkpoint import Checkpoint
from bench.training.job_parts import (
    load_artefact,
    method_of,
    network,
    runtime_of,
    students_own,
    trainable,
)
from bench.training.loop import Diverged, Trained, train
from bench.training.step import Task
from bench.training.teacher import teacher_targets
from methods.artefact import Artefact

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """A job and all that it is done with."""

    study: Study
    job: Job
    prepared: Prepared
    runtime: Runtime
    options: Options
    reporter: Reporter
    origin: dict[str, Any]
    """Its provenance, taken when it began."""


def complete(session: Session, job: Job, options: Options, reporter: Reporter) -> dict[str, Any]:
    """Train, finish, score and write the record; returns it.

    A job that is done but for its test scores is scored from its weights, not trained again; one that was
    interrupted goes on after its last finished epoch.

    Raises:
        CannotLearn: the network does not pass the gate; nothing is trained.
        Diverged: the loss is no longer finite.
    """
    origin = provenance(job)
    runtime = runtime_of(job, session.device)
    if job.compiled and not runtime.compiled:
        reporter.runs_uncompiled("no C++ compiler here")
    torch.set_num_threads(job.threads)
    make_deterministic()
    prepared = session.prepared_for(job)
    work = Work(session.study, job, prepared, runtime, options, reporter, origin)
    old = session.study.record(job.id)
    trained_before = old is not None and old["status"] == "done"
    if (trained_before or job.weights) and (kept := load_artefact(session.study, job)) is not None:
        artefact = kept.to(session.device)
        record = (
            old if old is not None and trained_before else _record(work, Trained(network(job)), artefact)
        )
        return _score(work, artefact, record)
    if job.weights:
        path = session.study.path("weights", job.id)
        raise UserError(f"{path}: the given weights are missing or damaged; name them with --teacher")
    return _train_and_score(work)


def _train_and_score(work: Work) -> dict[str, Any]:
    study, job = work.study, work.job
    checkpoint = Checkpoint(study.path("checkpoints", job.id), {"job": job.id, "protocol": job.protocol})
    try:
        trained = _train(work, checkpoint)
    except Diverged:  # it would again; who tries once more has changed something
        checkpoint.remove()
        raise
    phases = work.reporter.phases
    phases["training"] = trained.seconds - trained.seconds_before - phases.get("validation", 0.0)
    if trained.resumed_after:
        work.origin["resumed_after_epochs"] = trained.resumed_after
    artefact = method_of(job).finish(trained.model.eval(), _calibration(work))
    write_file(study.path("weights", job.id), artefact.save)
    record = _score(work, artefact, _record(work, trained, artefact))
    checkpoint.remove()
    return record


def _train(work: Work, checkpoint: Checkpoint) -> Trained:
    """Look whether the network can learn, get the teacher's targets, train."""
    job, prepared, runtime, reporter = work.job, work.prepared, work.runtime, work.reporter
    phases, options = reporter.phases, work.options
    torch.manual_seed(job.seed)
    model = trainable(job)
    if job.micro_batch < BATCH_SIZE and has_batch_statistics(model):
        log.info(
            f"{job.architecture} normalises by the statistics of {job.micro_batch} samples, not of a batch"
        )
    stream = SampleStream.of(job, prepared, options.epochs, options.steps_at_most)
    with phases.time("decoding"):
        prepared.decode()
    with phases.time("gate"):
        check_can_learn(model, stream, job.out_channels, job.seg_loss, runtime.device, job.micro_batch)
    with phases.time("recording"):
        targets = teacher_targets(work.study, job, stream, runtime, options.targets_gb, reporter)
    torch.manual_seed(job.seed)

    def validate(model: nn.Module) -> float:
        with phases.time("validation"):
            return validation_dice(model, prepared.val, runtime.device)

    own = students_own(runtime, job, model, prepared.samples, reporter)
    task = Task(model, method_of(job), stream, own, job.seg_loss, targets, job.keeps_last_epoch)
    reporter.between_epochs.append(partial(_keep_memory, work))
    return train(task, validate, reporter, checkpoint)


def _keep_memory(work: Work, phase: str) -> None:
    """Keep freed memory from the first epoch on, which shows what the job takes; not where it is short."""
    job, settings = work.job, work.study.settings() or {}
    saving = "memory_gb" in settings or job.recompute or job.micro_batch < BATCH_SIZE
    on_cpu = work.runtime.device.type == "cpu"
    if phase == "train" and on_cpu and not saving and has_plenty_of_memory(settings.get("workers", 1)):
        keep_freed_memory()


def _record(work: Work, trained: Trained, artefact: Artefact) -> dict[str, Any]:
    """The record, still without scores."""
    compiled = work.runtime.compiled and not work.reporter.uncompiled
    origin = work.origin | {"compiled": compiled}
    return done_record(work.study, work.job, work.prepared, trained, artefact, origin)


def _score(work: Work, artefact: Artefact, record: dict[str, Any]) -> dict[str, Any]:
    """Add scores, cases and predictions of validation (and test) to the record, and write it.

    ``cost.seconds`` says where the time of this run of the job went.
    """
    study, job, prepared, device = work.study, work.job, work.prepared, work.runtime.device
    phases, classes = work.reporter.phases, work.prepared.dataset.classes
    masks: list[Labels] = []
    cases: list[str] = []
    for name in ("val",) if work.options.no_test else ("val", "test"):
        with phases.time("decoding"):
            part: Scored = getattr(prepared, name)
        with phases.time("evaluation"):
            predicted = predict_masks(artefact.predict, part, device)
            rows = score_part(predicted, part, classes)
        record = {**record, name: {**summarise(rows), "rows": rows}}
        masks += predicted
        cases += part.cases
    arrays: dict[str, Any] = pack_masks(masks, cases)
    with phases.time("evaluation"):
        write_file(study.path("predictions", job.id), lambda path: np.savez_compressed(path, **arrays))
    record = {**record, "cost": {**record["cost"], "seconds": dict(phases)}}
    record["files"] = study.checksums(job.id)
    study.write_record(record)
    return record


def _calibration(work: Work) -> Iterator[Tensor]:
    """Batches of plain training images."""
    for batch in SampleStream.of(work.job, work.prepared).plain_batches():
        yield batch.to(work.runtime.device)
