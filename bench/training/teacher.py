"""What a student learns from: its teacher's targets, recorded once or computed in the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from bench.compute.runtime import Runtime
from bench.data.prepared_maps import maps_of, prepared_maps
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.files import lease
from bench.job import Job
from bench.planning.estimates import human_bytes, recording_bytes, target_sizes
from bench.planning.options import Options
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.job_parts import load_artefact, step_of
from bench.training.several import shuffled, together
from bench.training.step import Targets
from bench.training.targets import PackedSource, live, of_maps, recorded, unpacked
from methods import Method

log = logging.getLogger(__name__)


def teacher_targets(
    study: Study,
    job: Job,
    stream: SampleStream,
    runtime: Runtime,
    options: Options,
    reporter: Reporter,
) -> Targets | None:
    """The teacher's targets for every batch: recorded once if they fit, else the teacher in the loop.

    Of several teachers those of the mean of their probabilities.

    Raises:
        UserError: a teacher without weights, or that is no torch network; other maps than planned.
    """
    job = study.trained(job)  # what was made from a network learns from the same targets as that did
    if job.maps:
        maps = _given_maps(job, stream, options)
        found = _once(study, job, stream, "", lambda m: of_maps(maps, m, runtime), options, reporter)
    elif job.teachers:
        teachers = [study.job(name) for name in job.teachers]
        teacher = together([_network(study, one) for one in teachers])

        def computed(methods: Sequence[Method]) -> PackedSource:
            return live(teacher, methods, stream, runtime, reporter.runs_uncompiled)

        found = _once(study, job, stream, teachers[0].architecture, computed, options, reporter)
    else:
        return None
    return shuffled(found, job.seed) if job.shuffled else found


def _network(study: Study, job: Job) -> nn.Module:
    weights = study.path("weights", job.id)
    artefact = load_artefact(study, job)
    if artefact is None:
        raise UserError(f"{weights}: the teacher's weights are missing; run {job.label}")
    if artefact.module is None:
        raise UserError(f"{weights}: {job.label} is no torch network any more; only such can teach")
    return artefact.module


def _once(
    study: Study,
    job: Job,
    stream: SampleStream,
    teacher: str,
    computed: Callable[[Sequence[Method]], PackedSource],
    options: Options,
    reporter: Reporter,
) -> Targets:
    """What ``computed`` gives for some methods, recorded if it fits, for all students that can be taught.

    ``teacher`` is its network, or empty for maps.
    """
    folder = study.targets_folder(job)
    taught = [j for j in study.jobs() if j.taught and not j.source and study.targets_folder(j) == folder]
    siblings = [j for j in taught if j == job or (study.record(j.id) or {}).get("status") != "skipped"]
    size = recording_bytes(siblings, teacher, stream.prepared.samples)
    if size > options.targets_gb * 1e9:
        log.info(f"targets: {human_bytes(size)} is over --targets-gb; teacher in the loop")
        return Targets(unpacked(computed([step_of(job)])), ahead=False)
    shared = list(dict.fromkeys(step_of(j) for j in siblings))  # each method once
    if not folder.is_dir():
        several = f"the mean of {len(job.teachers)} " if len(job.teachers) > 1 else ""
        log.info(f"targets: recording {human_bytes(size)} from {several}{teacher or 'given maps'}")
    names, alone = sorted(target_sizes(job, teacher)), f"targets-{folder.name}"
    return recorded(
        *(folder, names, computed(shared), stream, reporter),
        alone=lambda: lease.waited_for(study.root, alone),
    )


def _given_maps(job: Job, stream: SampleStream, options: Options) -> SampleStream:
    """The stream that has the given maps where ``stream`` has images."""
    if options.teacher_maps is None:
        raise UserError(f"{job.label}: was planned with --teacher-maps; name the folder again")
    maps = maps_of(options.teacher_maps, stream.prepared)
    if maps.hash != job.maps:
        raise UserError(
            f"--teacher-maps {options.teacher_maps}: other maps than the job was planned with; run the "
            "matrix again, which plans it anew"
        )
    return replace(stream, prepared=prepared_maps(maps, stream.prepared))
