"""What a student learns from: its teacher's targets, recorded once or computed in the loop."""

from __future__ import annotations

import logging

from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.files import lease
from bench.job import Job
from bench.planning.estimates import human_bytes, recording_bytes, target_sizes
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.job_parts import load_artefact, step_of
from bench.training.step import Targets
from bench.training.targets import live, recorded, unpacked

log = logging.getLogger(__name__)


def teacher_targets(
    study: Study,
    job: Job,
    stream: SampleStream,
    runtime: Runtime,
    targets_gb: float,
    reporter: Reporter,
) -> Targets | None:
    """The teacher's targets for every batch: recorded once if they fit, else the teacher in the loop.

    Raises:
        UserError: several teachers; a teacher without weights, or without taps.
    """
    if not job.teachers:
        return None
    job = study.trained(job)  # what was made from a network learns from the same targets as that did
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
    folder = study.targets_folder(job)
    siblings = [
        j for j in study.jobs() if j.teachers and not j.source and study.targets_folder(j) == folder
    ]
    size = recording_bytes(siblings, teacher_job.architecture, stream.prepared.samples)
    if size > targets_gb * 1e9:
        log.info(f"targets: {human_bytes(size)} is over --targets-gb; teacher in the loop")
        own = live(teacher, [step_of(job)], stream, runtime, reporter.runs_uncompiled)
        return Targets(unpacked(own), ahead=False)
    shared = list(dict.fromkeys(step_of(j) for j in siblings))  # each method once
    compute = live(teacher, shared, stream, runtime, reporter.runs_uncompiled)
    if not folder.is_dir():
        log.info(f"targets: recording {human_bytes(size)} from {teacher_job.label}")
    names = sorted(target_sizes(job, teacher_job.architecture))
    alone = f"targets-{folder.name}"
    return recorded(
        folder, names, compute, stream, reporter, alone=lambda: lease.waited_for(study.root, alone)
    )
