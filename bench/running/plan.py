"""From options to a plan: the matrix, the study opened or begun, the jobs that are to run."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import methods
from bench import plugins
from bench.data import datasets
from bench.data.labels import known_to
from bench.data.splits import usable_unlabelled
from bench.data.teacher_saw import UNKNOWN
from bench.errors import UserError
from bench.files import lease
from bench.files.atomic import write_file
from bench.job import Job
from bench.planning.cells import cells, chosen, patterns
from bench.planning.chains import Cell
from bench.planning.contrasts import jobs_of, tell_old_contrasts, tell_other_contrasts
from bench.planning.matrix import Matrix, contrasts, differences, read_matrix
from bench.planning.options import Options
from bench.planning.session import Session, open_session
from bench.planning.todo import to_run
from bench.planning.too_little import warn_of_too_little
from bench.protocol import CONTRASTS, MIN_FOLDS
from bench.running.failures import fail
from bench.running.given import given_to_teach
from bench.scoring.memory_budget import choose_micro_batch
from bench.scoring.precision import ask_precision, is_worth_asking
from bench.scoring.workers import fill_machine, is_worth_measuring
from bench.study.reporter import Phases
from bench.study.store import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """The cells of a matrix in a study, and which of their jobs are to run."""

    options: Options
    session: Session
    cells: list[Cell]
    todo: list[Job]

    @property
    def jobs(self) -> list[Job]:
        """Those of the cells that can run."""
        return [cell.job for cell in self.cells if not cell.reason]


def resolved(options: Options) -> tuple[Options, Matrix]:
    """The matrix, and the options with what the matrix says and they don't.

    Raises:
        UserError: no matrix, a mistake in it, or no such dataset.
    """
    if options.matrix is None:
        raise UserError("--matrix is missing; e.g. --matrix quick, or a verb: see --help")
    matrix = read_matrix(options.matrix)
    if options.seeds:
        matrix = matrix.model_copy(update={"seeds": options.seeds})
    if options.updates is not None:
        own = {"updates": (options.updates,)}
        rows = tuple(row.model_copy(update=own) for row in matrix.rows)
        matrix = matrix.model_copy(update={**own, "rows": rows})
    beside = Path(options.matrix).parent
    options = replace(options, plugin=(*options.plugin, *(beside / path for path in matrix.plugins)))
    plugins.load(options.plugin)
    name, folder = datasets.locate(options.dataset or matrix.dataset, options.data)
    usual = Path("results") / ("quick" if options.matrix == "quick" else name)
    results, folds = options.results or usual, options.folds or matrix.folds
    return replace(options, dataset=name, data=folder, results=results, folds=folds), matrix


def make_plan(options: Options, matrix: Matrix, phases: Phases) -> Plan:
    """Read the data, open the study or begin it, and see what is to do.

    Raises:
        UserError: a mistake in the data, or options that the study was not begun with.
    """
    root = options.results or Path()
    with phases.time("decoding"):
        session = open_session(root, options, matrix.workers)
    if not options.no_test and not all(split.test for split in session.splits):
        raise UserError(f"{options.splits or root / 'splits.json'}: test is empty; give --no-test")
    planned = planned_cells(matrix, session, options)
    for cell in planned:
        _check_labels(session, cell.job)
    new = session.study.settings() is None
    if new or options.dry_run:
        session.say_what_is_odd()
    if new:
        session = _begun(session, matrix, options)
        planned = planned_cells(matrix, session, options)
    elif matrix.contrasts is not None:
        tell_other_contrasts(session, matrix)
    jobs = [cell.job for cell in planned if not cell.reason]
    tell_old_contrasts(session, jobs)
    todo = to_run(session.study, jobs, options.no_test, options.retry_failed)
    if todo:
        warn_of_too_little(session, todo, options.no_test)
    if not (options.dry_run or options.elsewhere):
        _check_installed(todo)
    _tell_left_out(session, todo)
    return Plan(options, session, planned, todo)


def _check_installed(jobs: list[Job]) -> None:
    """Refuse steps that this machine can't take before anything is trained for them."""
    for spec in dict.fromkeys(job.spec for job in jobs):
        if missing := methods.build(spec).missing():
            raise UserError(f"{spec}: {missing}")


def _tell_left_out(session: Session, jobs: list[Job]) -> None:
    """Say it where images without masks are of patients that networks are scored on."""
    of = session.dataset.unlabelled.patients
    used = [len(usable_unlabelled(session.dataset, split)) for split in session.splits]
    if any(job.unlabelled == "maps" for job in jobs) and min(used) < len(of):
        where = "of each fold" if len(used) > 1 else "of the split"
        log.info(
            f"images without masks: {min(used)} of {len(of)} are used; the others are of patients in the "
            f"validation or test part {where}"
        )


def planned_cells(matrix: Matrix, session: Session, options: Options) -> list[Cell]:
    """All cells of the matrix in this study."""
    default = matrix.image_size or datasets.source(session.dataset.name).image_size
    size = session.usual_size(default) if options.image_size is None else options.image_size
    planned: list[Cell] = []
    for fold in _chosen_folds(session, options):
        setting = session.setting(size, options.slices, fold)
        given = given_to_teach(matrix, session, setting, options)
        planned += cells(matrix, setting, options.only, given)
    for pattern in patterns(options.only or "*"):
        if not any(chosen(cell, pattern) for cell in planned):
            raise UserError(f"--only {pattern!r}: no job of matrix {options.matrix} matches")
    return planned


def _check_labels(session: Session, job: Job) -> None:
    """Refuse labels and images that are not there, before anything is begun.

    Raises:
        UserError: more labels than patients, too few to share out, or no image that is without labels.
    """
    if job.labels is None and job.teacher_labels != "disjoint" and job.unlabelled == "none":
        return
    prepared = session.prepared_for(job)
    known = known_to(job, prepared.sample_patients, prepared.unlabelled_patients)
    if job.unlabelled == "maps" and not known.others and not known.unlabelled:
        whose = "half of the " if job.teacher_labels == "disjoint" else ""
        raise UserError(
            f"unlabelled maps: all {len(known.labelled)} patients of {whose}training are labelled, and no "
            "image is without a mask; leave it out, or give fewer labels"
        )


def _chosen_folds(session: Session, options: Options) -> tuple[int | None, ...]:
    """The folds that are asked for: all, or those of ``--fold``."""
    if options.fold is None:
        return session.folds
    missing = [fold for fold in options.fold if fold not in session.folds]
    if missing:
        there = f"0 to {len(session.folds) - 1}" if len(session.folds) > 1 else "none; see --folds"
        raise UserError(f"--fold {missing[0]}: no such fold; the study's folds are {there}")
    return options.fold


def _begun(session: Session, matrix: Matrix, options: Options) -> Session:
    """A new study's session, its settings frozen. Of several processes one does it, the others take it."""
    if options.dry_run:
        return _measured(session, matrix, options)
    root = session.study.root
    try:
        with lease.waited_for(root, "begin"):
            if session.study.settings() is not None:
                return open_session(root, options)
            session = _measured(session, matrix, options)
            session.begin()
            return session
    finally:
        if session.study.settings() is None:
            shutil.rmtree(root / "leases", ignore_errors=True)
            with contextlib.suppress(OSError):
                root.rmdir()


def _measured(session: Session, matrix: Matrix, options: Options) -> Session:
    """A new study's session with what is measured before its first job: precision, memory, workers."""

    def jobs(asked: Options = options) -> list[Job]:
        return [cell.job for cell in planned_cells(matrix, session, asked) if not cell.reason]

    if len(session.splits) > 1:
        known = session.settings.get("teacher_saw") != UNKNOWN
        session = _with_contrasts(session, matrix, known, options.no_test)
    if options.dry_run:
        _tell_assumed(session, matrix, options, jobs())
        return session
    if options.precision == "auto":
        session = ask_precision(session, jobs())
    if options.memory_gb is not None:
        chosen = choose_micro_batch(session, options, jobs(), options.memory_gb)
        session = replace(session, settings=session.settings | chosen)
    if (options.workers or matrix.workers) is None:
        session = fill_machine(session, jobs())
    if named := session.settings.get("contrasts"):  # now that settings decide the ids of jobs
        # Whatever part of the study is run first; maps are given fold by fold.
        every = replace(options, only=None, fold=options.fold if options.teacher_maps else None)
        session = replace(
            session, settings=session.settings | {"contrast_jobs": jobs_of(named, jobs(every))}
        )
    return session


def _tell_assumed(session: Session, matrix: Matrix, options: Options, jobs: list[Job]) -> None:
    """One line: what a dry run's ids rest on and a run would measure. Measured twice, it might differ."""
    assumed, flags = [], []
    if options.precision == "auto" and is_worth_asking(session, jobs):
        assumed.append(session.settings["precision"])
        flags.append("--precision")
    if (options.workers or matrix.workers) is None and is_worth_measuring(session, jobs):
        assumed.append(f"one job at a time with {session.settings['threads']} threads")
        flags.append("--workers")
    if options.memory_gb is not None:
        assumed.append("whole batches in memory")
        flags.append("--micro-batch")
    if assumed:
        log.info(
            f"the ids assume {' and '.join(assumed)}, for a run measures that when the study begins; "
            f"{' and '.join(flags)} would settle it"
        )


def _with_contrasts(session: Session, matrix: Matrix, known: bool, no_test: bool) -> Session:
    """A new study's session with the differences that it may claim, named before anything is trained.

    ``known``: which patients the teacher saw; else there are none.
    """
    named, folds = contrasts(matrix) if known else [], len(session.splits)
    if not known:
        log.warning("no difference may be claimed: the teacher may have seen the patients that are tested")
    elif named and folds < MIN_FOLDS:
        log.warning(f"no difference may be claimed: {folds} folds, and it takes {MIN_FOLDS} at least")
    elif named:
        later = " once the test patients are read, without --no-test" if no_test else ""
        log.info(f"differences to plain training that may be claimed{later}: {', '.join(named)}")
    elif matrix.contrasts is None and differences(matrix):
        log.warning(
            f"no difference may be claimed: there are more than {CONTRASTS}; `contrasts:` in the matrix "
            f"names up to {CONTRASTS} of them"
        )
    return replace(session, settings=session.settings | {"contrasts": named})


def write_plan(plan: Plan) -> None:
    """Leave in the study what its jobs start from, and remove what dead processes left."""
    study = plan.session.study
    plan.session.begin()
    study.keep_plugins(plugins.used_by(plan.jobs))
    lease.tidy(study.root, lambda name: _is_over(study, name))
    for cell in plan.cells:
        study.plan(cell.job)
        if cell.reason and (study.record(cell.job.id) or {}).get("reason") != cell.reason:
            fail(study, cell.job, "skipped", cell.reason)
        if cell.job.weights and plan.options.teacher:
            copy = functools.partial(shutil.copyfile, str(plan.options.teacher))
            write_file(study.path("weights", cell.job.id), copy)


def _is_over(study: Study, name: str) -> bool:
    """Whether a lease of that name is nobody's to take up: of a job with a record, or of no job."""
    return not study.is_planned(name) or study.path("records", name).is_file()
