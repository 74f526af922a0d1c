"""The jobs of one student, step after step, and why there may be none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import methods
from bench import plugins
from bench.compute.compiling import COMPILE_FROM_FLOPS
from bench.errors import UserError
from bench.job import Job
from bench.planning.estimates import Probe, probe, training_flops
from bench.planning.session import Setting
from bench.protocol import BATCH_SIZE

NOTHING_KNOWN = "labels 0: there is nothing to learn from"
Steps = tuple[Any, ...]
Known = dict[str, Any]
"""Fields of a job that say what is known of the training patients."""


@dataclass(frozen=True)
class Cell:
    """A job, or why there is none (``reason``)."""

    job: Job
    reason: str = ""
    steps: tuple[methods.Step, ...] = field(default=(), compare=False)
    """Its recipe; empty: plain training of a teacher."""


@dataclass(frozen=True)
class Teaching:
    """Who teaches: the networks of some cells, their mean where there are several, or given maps.

    ``maps`` is their checksum. ``shuffled``: students get the targets of other samples, as a control.
    ``text`` says who it is where that is not usual.
    """

    cells: tuple[Cell, ...] = ()
    maps: str = ""
    shuffled: bool = False
    text: str = ""


@dataclass(frozen=True)
class Around:
    """What the jobs of a seed, a number of updates and of labels share.

    ``teacher`` is the matrix's, trained plainly, and ``usual`` who teaches unless it says otherwise.
    """

    setting: Setting
    known: Known
    teacher: Cell
    usual: Teaching


def chain(
    around: Around, what: tuple[str, str, Steps], teaching: Teaching, rate: float | None = None
) -> list[Cell]:
    """The cells of a student, an L_seg and a recipe, one a step, each made from the one before.

    ``rate`` is a learning rate of plain training, None the protocol's.
    """
    student, loss, (train, *later) = what
    known = around.known
    if train.needs_teacher:
        job = job_of(around.setting, student, train, loss, tuple(cell.job.id for cell in teaching.cells))
        job = replace(job, **known, maps=teaching.maps, shuffled=teaching.shuffled, taught_by=teaching.text)
    else:
        job = job_of(around.setting, student, train, loss)
        job = replace(job, labels=known["labels"], learning_rate=rate)
    reason = _unsupported(job, train, teaching)
    if not reason and job.labels == 0 and (job.unlabelled == "none" or not train.needs_teacher):
        reason = NOTHING_KNOWN
    cells = [or_the_teacher(Cell(job, reason, (train,)), around.teacher)]
    for step in later:
        cells.append(made_from(cells[-1], step))
    return cells


def or_the_teacher(cell: Cell, teacher: Cell) -> Cell:
    """The matrix's teacher where the cell is the very same network, however many threads train it."""
    return teacher if replace(cell.job, threads=teacher.job.threads) == teacher.job else cell


def made_from(source: Cell, step: methods.Step) -> Cell:
    """The cell whose job takes one more step from the network of ``source``."""
    steps = (*(source.steps or steps_of("baseline")), step)
    job = replace(
        source.job,
        method=step.name,
        parameters=tuple(sorted(methods.parameters(step).items())),
        source=source.job.id,
        weights="",
        recipe=" > ".join(map(methods.text, steps)),
    )
    if step.kind == "convert":  # what decides how training computes does nothing here
        job = replace(job, teachers=(), maps="", shuffled=False, taught_by="")
        job = replace(job, compiled=False, recompute=False, micro_batch=BATCH_SIZE)
    job = replace(job, plugin=plugins.hash_for(job))
    own = step.supports(job.spatial_dims, job.out_channels)
    reason = f"its source: {source.reason}" if source.reason else f"{step.name}: {own}" if own else ""
    return Cell(job, reason, steps)


def job_of(
    setting: Setting, architecture: str, step: methods.Step, loss: str, teachers: tuple[str, ...] = ()
) -> Job:
    """A job that trains a network by ``step``."""
    job = replace(
        setting.job,
        architecture=architecture,
        method=step.name,
        parameters=tuple(sorted(methods.parameters(step).items())),
        seg_loss=loss,
        teachers=teachers,
        recipe=methods.text(step),
    )
    job = replace(job, plugin=plugins.hash_for(job))
    if probe(architecture, job).reason:
        return job
    flops = training_flops(job, setting.train_cases)
    pays = setting.can_compile and flops >= COMPILE_FROM_FLOPS
    return replace(job, compiled=pays and not job.recompute)


def steps_of(recipe: str) -> Steps:
    """The steps of a recipe.

    Raises:
        UserError: an unknown one, or one with a mistake in it.
    """
    try:
        return methods.steps(recipe)
    except ValueError as error:
        raise UserError(str(error)) from None


def _unsupported(job: Job, method: methods.Method, teaching: Teaching) -> str:
    """Why the cell can't be: what its network, its method or its teachers say."""
    student = probe(job.architecture, job)
    reasons = [student.reason]
    if own := method.supports(job.spatial_dims, job.out_channels):
        reasons.append(f"{job.method}: {own}")
    if own := method.refuses(job.micro_batch < BATCH_SIZE, job.unlabelled != "none"):
        reasons.append(f"{job.method}: {own}")
    if method.needs_teacher:
        for cell in teaching.cells:
            why = probe(cell.job.architecture, job).reason or cell.reason
            reasons.append(f"its teacher {why}" if why and why != NOTHING_KNOWN else why)
    if method.needs_taps and len(teaching.cells) == 1:
        reasons += _without_taps(job, student, teaching.cells[0].job)
    elif method.needs_taps:
        what = "given maps have" if teaching.maps else "the mean of several networks has"
        reasons.append(f"{job.method} compares features, and {what} none")
    return next((reason for reason in reasons if reason), "")


def _without_taps(job: Job, student: Probe, teacher: Job) -> list[str]:
    """Why features of student and teacher can't be compared."""
    teaching = probe(teacher.architecture, job)
    pairs = ((job.architecture, student.taps), (teacher.architecture, teaching.taps))
    reasons = [
        f"{name} has no forward_intermediates, which {job.method} reads"
        for name, taps in pairs
        if taps is None
    ]
    if not (student.taps or frozenset()) & (teaching.taps or frozenset()):
        reasons.append(
            f"{job.architecture} and {teacher.architecture} have no tap of the same side and stride"
        )
    return reasons
