"""One job, from its start to its record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench.compute.device import make_deterministic
from bench.data.prepared import Scored
from bench.errors import UserError
from bench.files.atomic import write_file
from bench.job import Job
from bench.planning.options import Options
from bench.planning.session import Session
from bench.running.from_source import converted, reshaped
from bench.running.record import done_record, made_again
from bench.running.training import forget, train_fresh
from bench.running.work import Work
from bench.scoring.evaluation import predict_masks, score_part, summarise
from bench.study.predictions import Labels, pack_masks
from bench.study.provenance import provenance
from bench.study.reporter import Reporter
from bench.training.artefacts import about_of
from bench.training.job_parts import load_artefact, network, runtime_of, step_of
from bench.training.loop import Trained
from methods.artefact import Artefact, TorchArtefact, parameters_of
from methods.masks import blank


def complete(session: Session, job: Job, options: Options, reporter: Reporter) -> dict[str, Any]:
    """Train, or make from its source; score, and write the record; returns it.

    A job that is done but for its test scores is scored from its weights, not made again; a training that
    was interrupted goes on after its last finished epoch.

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
    made_before = old is not None and old["status"] == "done"
    if (made_before or job.weights) and (kept := load_artefact(session.study, job)) is not None:
        artefact = kept.to(session.device)
        record = (
            old if old is not None and made_before else _record(work, Trained(network(job)), artefact, {})
        )
        return _score(work, artefact, record)
    if job.weights:
        path = session.study.path("weights", job.id)
        raise UserError(f"{path}: the given weights are missing or damaged; name them with --teacher")
    return _make_and_score(work, old if made_before else None)


def _make_and_score(work: Work, before: dict[str, Any] | None) -> dict[str, Any]:
    """``before``: the record of the same job, where its network is made again."""
    study, job = work.study, work.job
    step = step_of(job)
    make = {"train": _trained, "reshape": reshaped, "convert": converted}[step.kind]
    trained, artefact, facts = make(work)
    write_file(study.path("weights", job.id), artefact.save)
    artefact = artefact.to(work.runtime.device)
    record = _record(work, trained, artefact, facts)
    if before is not None:
        record = made_again(study, before, record)
    record = _score(work, artefact, record)
    if step.kind != "convert":
        forget(work)
    return record


def _trained(work: Work) -> tuple[Trained, Artefact, dict[str, Any]]:
    trained = train_fresh(work)
    count = parameters_of(trained.model)
    about = replace(about_of(work.job, work.prepared), parameters=count)
    return trained, TorchArtefact(trained.model, about), {}


def _record(work: Work, trained: Trained, artefact: Artefact, facts: dict[str, Any]) -> dict[str, Any]:
    """The record, still without scores."""
    compiled = work.runtime.compiled and not work.reporter.uncompiled
    origin = work.origin | {"compiled": compiled}
    return done_record(work, trained, artefact, facts, origin)


def _score(work: Work, artefact: Artefact, record: dict[str, Any]) -> dict[str, Any]:
    """Add scores, cases and predictions of validation (and test) to the record, and write it.

    ``cost.seconds`` says where the time of this run of the job went.
    """
    study, job, prepared, device = work.study, work.job, work.prepared, work.runtime.device
    phases, classes = work.reporter.phases, work.prepared.dataset.classes
    masks: list[Labels] = []
    cases: list[str] = []
    # A record with test scores keeps them where its network is made again, so it needs those masks, too.
    tested = "test" in record or not work.options.no_test
    for name in ("val", "test") if tested else ("val",):
        with phases.time("decoding"):
            part: Scored = getattr(prepared, name)
        with phases.time("evaluation"):
            predicted = predict_masks(artefact.predict, part, device)
            rows = score_part(predicted, part, classes)
        record = {**record, name: {**summarise(rows), "rows": rows}}
        if name == "val":
            record["predicts"] = blank(predicted)
        masks += predicted
        cases += part.cases
    arrays: dict[str, Any] = pack_masks(masks, cases)
    with phases.time("evaluation"):
        write_file(study.path("predictions", job.id), lambda path: np.savez_compressed(path, **arrays))
    record = {**record, "cost": {**record["cost"], "seconds": dict(phases)}}
    record["files"] = study.checksums(job.id)
    study.write_record(record)
    return record
