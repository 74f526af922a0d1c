"""One job, from its start to its record."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import architectures
import methods
from bench import lease
from bench import targets as target_store
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
from bench.integrity import set_aside
from bench.memory import checkpointed, has_batch_statistics
from bench.phases import Phases
from bench.protocol import BATCH_SIZE
from bench.provenance import provenance
from bench.runtime import Runtime, can_compile, make_deterministic, worth_compiling
from bench.shapes import recording_bytes, target_sizes, training_flops
from bench.spec import Job, spec
from bench.store import Study, write_file
from bench.training import Diverged, TargetSource, Trained, train
from methods import Method
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
        teaching, read_ahead = _teaching(study, job, stream, runtime, targets_gb, on_epoch, on_eager, say)
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
            targets=teaching,
            on_epoch=lambda row: on_epoch("train", row),
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


def load_artefact(study: Study, job: Job) -> Artefact | None:
    """What the job's training left; None where its weights are absent, or were damaged and set aside."""
    if not study.has_weights(job.id):
        return None
    try:
        return read_artefact(study, job)
    except UserError as error:
        if "weights" in (study.record(job.id) or {}).get("files", {}):
            raise  # they are as they were written
        set_aside(study.path("weights", job.id), str(error))
        return None


def read_artefact(study: Study, job: Job) -> Artefact:
    """What the job's file of weights holds.

    Raises:
        UserError: a damaged file, or weights of another network.
    """
    try:
        return method_of(job).load(lambda: network(job), study.path("weights", job.id))
    except ValueError as error:
        raise UserError(f"{error}; remove it, and {job.label} is trained again") from None


def network(job: Job) -> nn.Module:
    """The job's network with fresh weights.

    Raises:
        UserError: no such network here.
    """
    try:
        return architectures.build(job.architecture, job.spatial_dims, job.in_channels, job.out_channels)
    except ValueError as error:
        raise UserError(f"job {job.id}: {error}") from None


def method_of(job: Job) -> Method:
    """The job's method.

    Raises:
        UserError: no such method here.
    """
    try:
        return methods.build(spec(job))
    except ValueError as error:
        raise UserError(f"job {job.id}: {error}") from None


def trainable(job: Job) -> nn.Module:
    """The job's network as it is trained: one that forgets where the job says so."""
    model = network(job)
    return checkpointed(model) if job.checkpointing else model


def runtime_of(job: Job, device: torch.device) -> Runtime:
    """Where and how the job computes on ``device``."""
    return Runtime(
        device, job.precision, job.threads, job.compiled and can_compile(device), job.micro_batch
    )


def students_own(
    runtime: Runtime, job: Job, model: nn.Module, samples: int, on_eager: Say = lambda reason: None
) -> Runtime:
    """The runtime of the job's own steps: uncompiled where compiling takes longer than it saves."""
    if not runtime.compiled or worth_compiling(model, training_flops(job, samples), runtime.device):
        return runtime
    on_eager("compiling would take longer than it saves")
    return replace(runtime, compiled=False)


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


def _teaching(
    study: Study,
    job: Job,
    stream: SampleStream,
    runtime: Runtime,
    targets_gb: float,
    on_epoch: EpochHook,
    on_eager: Say,
    say: Say,
) -> tuple[TargetSource | None, bool]:
    """The teacher's targets for every batch: recorded once if they fit, else the teacher in the loop.

    The second value says whether they are only read, which may be done ahead of time.
    """
    if not job.teachers:
        return None, True
    if len(job.teachers) > 1:
        raise UserError(f"{job.label}: {len(job.teachers)} teachers; the methods so far take one")
    teacher_job = study.job(job.teachers[0])
    weights = study.path("weights", teacher_job.id)
    artefact = load_artefact(study, teacher_job)
    if artefact is None:
        raise UserError(f"{weights}: the teacher's weights are missing; run {teacher_job.label}")
    teacher = artefact.module
    if teacher is None:
        raise UserError(f"{weights}: {teacher_job.label} has no taps to learn from")
    siblings = [j for j in study.jobs() if j.teachers == job.teachers and j.seed == job.seed]
    names = sorted(target_sizes(job, teacher_job.architecture))
    size = recording_bytes(siblings, teacher_job.architecture, stream.prepared.samples)
    if size > targets_gb * 1e9:
        say(f"targets: {target_store.human_bytes(size)} is over --targets-gb; teacher in the loop")
        own = [method_of(job)]
        return target_store.unpacked(target_store.live(teacher, own, stream, runtime, on_eager)), False
    shared = list(dict.fromkeys(method_of(j) for j in siblings))  # each method once
    compute = target_store.live(teacher, shared, stream, runtime, on_eager)
    folder = targets_folder(study, job)
    if not folder.is_dir():
        say(f"targets: recording {target_store.human_bytes(size)} from {teacher_job.label}")
    return target_store.recorded(
        folder,
        names,
        compute,
        stream,
        on_epoch=lambda epoch: on_epoch("targets", {"epoch": epoch}),
        alone=lambda: lease.waited_for(study.root, f"targets-{folder.name}", say),
    ), True


def targets_folder(study: Study, job: Job) -> Path:
    """Where the targets for a job are recorded: one folder per teacher, sample stream and precision."""
    stream = f"s{job.seed}-{job.image_size}-{job.split[:6]}-{job.precision}"
    return study.root / "targets" / f"{'+'.join(job.teachers)}-{stream}"


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
