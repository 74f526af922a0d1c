"""What a student learns from: its teacher's targets, recorded once or computed in the loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import lease
from bench import targets as target_store
from bench.build import load_artefact, method_of
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.runtime import Runtime
from bench.shapes import recording_bytes, target_sizes
from bench.spec import Job
from bench.store import Study
from bench.training import TargetSource

Say = Callable[[str], None]


def teacher_targets(
    study: Study,
    job: Job,
    stream: SampleStream,
    runtime: Runtime,
    targets_gb: float,
    on_recorded: Callable[[int], None],
    on_eager: Say,
    say: Say,
) -> tuple[TargetSource | None, bool]:
    """The teacher's targets for every batch: recorded once if they fit, else the teacher in the loop.

    The second value says whether they are only read, which may be done ahead of time. ``on_recorded`` is
    told each epoch whose targets have been recorded.

    Raises:
        UserError: several teachers; a teacher without weights, or without taps.
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
        on_epoch=on_recorded,
        alone=lambda: lease.waited_for(study.root, f"targets-{folder.name}", say),
    ), True


def targets_folder(study: Study, job: Job) -> Path:
    """Where the targets for a job are recorded: one folder per teacher, sample stream and precision."""
    stream = f"s{job.seed}-{job.image_size}-{job.split[:6]}-{job.precision}"
    return study.root / "targets" / f"{'+'.join(job.teachers)}-{stream}"
