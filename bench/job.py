"""One job, from its start to its record."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.build import load_artefact, method_of, network, runtime_of, students_own, trainable
from bench.checkpoint import Checkpoint
from bench.data.prepared import Prepared, Scored
from bench.data.stream import SampleStream
from bench.data.volumes import Volumes
from bench.errors import UserError
from bench.evaluation import (
    Labels,
    nan_mean,
    overlap_scores,
    pack_masks,
    predict_masks,
    score_part,
    summarise,
)
from bench.gate import check_can_learn
from bench.heap import has_plenty_of_memory, keep_freed_memory
from bench.memory import has_batch_statistics
from bench.phases import Phases
from bench.protocol import BATCH_SIZE
from bench.provenance import provenance
from bench.runtime import make_deterministic
from bench.spec import Job
from bench.store import Study, write_file
from bench.teaching import teacher_targets
from bench.training import Diverged, Trained, train
from methods.artefact import Artefact, TorchArtefact

Say = Callable[[str], None]
EpochHook = Callable[[str, dict[str, float]], None]


def run(
    study: Study,
    job: Job,
    prepared: Prepared | Volumes,
    device: torch.device,
    with_test: bool,
    targets_gb: float = 8.0,
    on_epoch: EpochHook = lambda phase, row: None,
    say: Say = lambda line: None,
    phases: Phases | None = None,
) -> dict[str, Any]:
    """Train, finish, score and write the record; returns it.

    A job that is done but for its test scores is scored from its weights, not trained again; one that was
    interrupted goes on after its last finished epoch. ``phases`` holds what the caller has spent on the
    job already.

    Raises:
        CannotLearn: the network does not pass the gate; nothing is trained.
    """
    origin = provenance(job)
    phases = Phases() if phases is None else phases
    runtime = runtime_of(job, device)
    origin["compiled"] = runtime.compiled

    def on_eager(reason: str) -> None:
        origin["compiled"] = False
        say(f"{reason}: this job runs uncompiled, its scores equal up to rounding")

    if job.compiled and not runtime.compiled:
        on_eager("no C++ compiler here")
    torch.set_num_threads(job.threads)
    make_deterministic()
    method = method_of(job)
    old = study.record(job.id)
    trained_before = old is not None and old["status"] == "done"
    if (trained_before or job.checkpoint) and (kept := load_artefact(study, job)) is not None:
        artefact = kept.to(device)
        if old is None or not trained_before:
            old = _record(study, job, prepared, Trained(network(job)), artefact, None, origin)
        return _score(study, job, prepared, artefact, device, with_test, old, phases)
    if job.checkpoint:
        weights = study.path("weights", job.id)
        raise UserError(f"{weights}: the given weights are missing or damaged; name them with --teacher")

    torch.manual_seed(job.seed)
    model = trainable(job)
    if job.micro_batch < BATCH_SIZE and has_batch_statistics(model):
        say(f"{job.architecture} normalises by the statistics of {job.micro_batch} samples, not of a batch")
    stream = SampleStream(prepared, job.seed)
    with phases.time("decoding"):
        prepared.decode()
    with phases.time("gate"):
        check_can_learn(model, stream, job.out_channels, job.seg_loss, device, job.micro_batch)
    with phases.time("recording"):
        targets, read_ahead = teacher_targets(
            study,
            job,
            stream,
            runtime,
            targets_gb,
            on_recorded=lambda epoch: on_epoch("targets", {"epoch": epoch}),
            on_eager=on_eager,
            say=say,
        )
    torch.manual_seed(job.seed)

    def validate(model: nn.Module) -> float:
        with phases.time("validation"):
            return validation_dice(model, prepared.val, device)

    checkpoint = Checkpoint(study.path("checkpoints", job.id), {"job": job.id, "protocol": job.protocol})
    try:
        trained = train(
            model,
            method,
            stream,
            students_own(runtime, job, model, prepared.samples, on_eager),
            job.seg_loss,
            validate=validate,
            targets=targets,
            on_epoch=partial(_after_epoch, study, job, device, on_epoch),
            read_ahead=read_ahead,
            on_eager=on_eager,
            checkpoint=checkpoint,
        )
    except Diverged:  # it would again; who tries once more has changed something
        checkpoint.remove()
        raise
    phases["training"] = trained.seconds - trained.seconds_before - phases.get("validation", 0.0)
    if trained.resumed_after:
        origin["resumed_after_epochs"] = trained.resumed_after
    artefact = method.finish(trained.model.eval(), _calibration(prepared, device))
    write_file(study.path("weights", job.id), artefact.save)
    record = _record(study, job, prepared, trained, artefact, trained.peak_memory_mb, origin)
    record = _score(study, job, prepared, artefact, device, with_test, record, phases)
    checkpoint.remove()
    return record


def _after_epoch(
    study: Study, job: Job, device: torch.device, on_epoch: EpochHook, row: dict[str, float]
) -> None:
    """Keep freed memory from the first epoch on, which shows what the job takes; not where it is short."""
    settings = study.settings() or {}
    saving = "memory_gb" in settings or job.checkpointing or job.micro_batch < BATCH_SIZE
    if device.type == "cpu" and not saving and has_plenty_of_memory(settings.get("workers", 1)):
        keep_freed_memory()
    on_epoch("train", row)


def validation_dice(model: nn.Module, part: Scored, device: torch.device) -> float:
    """Mean over patients of the mean over cases of the mean over classes; what selects the epoch."""
    artefact = TorchArtefact(copy.deepcopy(model))  # training goes on in its own layout
    masks = predict_masks(artefact.predict, part, device)
    classes = max(2, *(int(truth.max()) + 1 for truth in part.masks))
    rows = []
    for case, patient, mask, truth in zip(part.cases, part.patients, masks, part.masks, strict=True):
        dice = [overlap_scores(mask == c, truth == c)["dice"] for c in range(1, classes)]
        rows.append({"case": case, "patient": patient, "dice": nan_mean(dice)})
    return summarise(rows)["dice"]


def _score(
    study: Study,
    job: Job,
    prepared: Prepared | Volumes,
    artefact: Artefact,
    device: torch.device,
    with_test: bool,
    record: dict[str, Any],
    phases: Phases,
) -> dict[str, Any]:
    """Add scores, cases and predictions of validation (and test) to the record, and write it.

    ``cost.seconds`` says where the time of this run of the job went.
    """
    classes = prepared.dataset.classes
    masks: list[Labels] = []
    cases: list[str] = []
    for name in ("val", "test") if with_test else ("val",):
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


def _calibration(prepared: Prepared | Volumes, device: torch.device) -> Iterator[Tensor]:
    """Batches of plain training images."""
    for batch in prepared.plain_batches():
        yield batch.to(device)


def _record(
    study: Study,
    job: Job,
    prepared: Prepared | Volumes,
    trained: Trained,
    artefact: Artefact,
    memory: float | None,
    origin: dict[str, Any],
) -> dict[str, Any]:
    """A record without scores; what training would say is empty where the weights were given."""
    curves = trained.curves
    module = artefact.module
    return {
        "id": job.id,
        "status": "done",
        "job": job.as_dict(),
        "curves": curves,
        "best_epoch": trained.best_epoch or None,
        "dice_val_last": curves[-1]["dice_val"] if curves else None,
        "cost": {
            "parameters": None if module is None else sum(p.numel() for p in module.parameters()),
            "size_mb": study.path("weights", job.id).stat().st_size / 1e6,
            "train_seconds": trained.seconds if curves else None,
            "updates": trained.steps * len(curves),
            "voxels_seen": trained.steps * len(curves) * BATCH_SIZE * math.prod(job.shape),
            "peak_memory_train_mb": memory,
        },
        "dataset": {
            "synthetic": prepared.dataset.synthetic,
            "note": prepared.dataset.note,
            "licence": prepared.dataset.licence,
            "classes": prepared.dataset.classes,
            **prepared.facts(),
            "train_cases": len(prepared.split.train),
            "train_patients": _train_patients(prepared),
        },
        "provenance": origin,
    }


def _train_patients(prepared: Prepared | Volumes) -> int:
    patient_of = dict(zip(prepared.dataset.cases, prepared.dataset.patients, strict=True))
    return len({patient_of[case] for case in prepared.split.train})
