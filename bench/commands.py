"""What the verbs do, each a few lines: plan a matrix and run it, profile, report, list."""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import architectures
import methods
from bench import plugins
from bench.data import datasets
from bench.errors import UserError, brief
from bench.files import lease
from bench.job import Job
from bench.planning.matrix import BUILT_IN
from bench.planning.options import Options
from bench.planning.session import data_again
from bench.planning.todo import is_to_make_again, kind, states
from bench.report.beside import remember
from bench.report.chosen_on import keep
from bench.report.masks import write_masks
from bench.report.report import write_report
from bench.running.executors import Engine, engine, local
from bench.running.job_process import run_job
from bench.running.plan import Plan, make_plan, resolved, write_plan
from bench.running.time_spent import shares
from bench.scoring.forecast import forecast
from bench.scoring.profiling import is_measured, profile
from bench.study.reporter import Phases
from bench.study.store import Study, failure
from bench.training.conformance import faults_of_method, faults_of_network
from bench.watching.beside_jobs import following
from bench.watching.trackers import open_trackers

__all__ = [
    "check_plugin",
    "list_registered",
    "profile_study",
    "report_study",
    "run_job",
    "run_matrix",
]

log = logging.getLogger(__name__)


def run_matrix(options: Options) -> int:
    """Plan, run what has no record, report; the exit code."""
    started, phases = time.perf_counter(), Phases()
    cluster = engine(options)
    options, matrix = resolved(options)
    trackers = [] if options.dry_run else open_trackers(options)
    plan = make_plan(options, matrix, phases)
    study, jobs = plan.session.study, plan.jobs
    if options.dry_run:
        return _list_jobs(plan)
    write_plan(plan)
    _tell_plan(plan)
    failures = 0
    with following(study, plan.cells, plan.todo, trackers) as shown:
        if plan.todo:
            failures = _run_jobs(cluster, plan, shown)
        else:
            log.info("nothing to run")
    with phases.time("profiling"):
        _profile(cluster, study, jobs)
    with phases.time("report"), lease.waited_for(study.root, "report"):
        write_report(study, plan.session.dataset, [cell.job.id for cell in plan.cells])
    if plan.todo and not cluster:
        records = [study.record(job.id) for job in plan.todo]
        log.info(shares(time.perf_counter() - started, phases, records, plan.session.settings))
    return 1 if failures + _tell_failures(study, jobs) else 0


def _list_jobs(plan: Plan) -> int:
    """Print what ``--dry-run`` is asked for; the exit code."""
    found = dict(states(plan.session.study, plan.jobs, plan.todo))
    for cell in plan.cells:
        state = f"skipped: {cell.reason}" if cell.reason else found[cell.job]
        print(f"{cell.job.id}  {cell.job.label}  {state}")
    if plan.todo:
        options = plan.options
        for line in forecast(plan.session, plan.todo, options.elsewhere, options.no_test).lines():
            print(line)
    return 0


def _tell_plan(plan: Plan) -> None:
    """One line: how many jobs there are, done, to run, skipped, failed."""
    study, skipped = plan.session.study, len(plan.cells) - len(plan.jobs)
    again = sum(is_to_make_again(study, job, plan.todo) for job in plan.todo)
    rest = Counter(kind(study, job) for job in plan.jobs if job not in plan.todo)
    log.info(
        f"{study.root}: {len(plan.cells)} jobs, {rest['done']} done, {len(plan.todo)} to run"
        + (f", {again} of them again, for others need their weights, which are not here" if again else "")
        + (f", {skipped} skipped" if skipped else "")
        + (f", {rest['failed']} failed before" if rest["failed"] else "")
        + (f", {rest['new']} left for a run without --retry-failed" if rest["new"] else "")
    )


def _run_jobs(cluster: Engine | None, plan: Plan, shown: bool) -> int:
    """Run the jobs here or on the cluster; the number that failed.

    ``shown``: a live view has the screen.
    """
    study, options = plan.session.study, plan.options
    for job in plan.todo if options.retry_failed else ():
        lease.forget(study.root, job.id)
    if cluster:
        return cluster.run(study, plan.todo, options)
    start: Callable[..., int] = functools.partial(run_job, to_a_file=True) if shown else run_job
    return local.run(study, plan.todo, start, options)


def _profile(cluster: Engine | None, study: Study, jobs: list[Job]) -> None:
    """Measure where jobs run: here, or once on the cluster, whose machines are not this one."""
    if not cluster:
        profile_study(study, jobs)
    elif not is_measured(study, jobs, anywhere=True):
        cluster.profile(study)


def _tell_failures(study: Study, jobs: list[Job]) -> int:
    """Name the failed ones among ``jobs`` and why; how many there are."""
    failed = [(job, why) for job in jobs if (why := failure(study.record(job.id)))]
    for job, why in failed:
        log.info(f"{job.id}  {job.label}: {why}")
    if failed:
        log.info(f"{len(failed)} of {len(jobs)} jobs without a result; --retry-failed runs them again")
    return len(failed)


def profile_study(study: Study, jobs: list[Job]) -> None:
    """Measure where the networks of ``jobs`` have not been, alone on this machine.

    All others of the study are measured then, too, in one session: a machine is not as fast on every day.
    """
    if is_measured(study, jobs):
        return
    with lease.waited_for(study.root, "profile"):
        told = False
        while busy := lease.at_work_here(study.root, study.is_planned):
            if not told:
                log.info(f"profiling: waiting for {busy}, which is running a job")
                told = True
            time.sleep(lease.POLL_SECONDS)
        profile(study, [*jobs, *_others_that_are_here(study, jobs)])


def _others_that_are_here(study: Study, jobs: list[Job]) -> list[Job]:
    """The study's other jobs, but not those whose plug-in is missing or edited.

    Of a network that none of the jobs is left of, it is said.
    """
    found, missing, asked, known = [], {}, set(jobs), study.plugins()
    for job in study.jobs():
        if job in asked:
            continue
        try:
            plugins.require(job, known)
            found.append(job)
        except UserError as error:
            missing[job.architecture] = str(error)
    for architecture in sorted(missing.keys() - {job.architecture for job in (*jobs, *found)}):
        log.warning(f"profiling: {architecture} is left out: {missing[architecture]}")
    return found


def report_study(
    study: Study,
    data: Path | None,
    masks: bool = False,
    beside: Sequence[Path] = (),
    chosen_on: Path | None = None,
) -> None:
    """Write a study's report; with its images where they are built in or ``data`` names them.

    Args:
        study: the study.
        data: its images.
        masks: also write the predicted masks as files, which needs the images.
        beside: other studies of the same data and split, for a table of both; they are remembered.
        chosen_on: a file of the patients that choices were made on before the study; they are remembered.

    Raises:
        UserError: ``data`` is not what the study was made from, another study was made from other data, or
            a patient is not of this study.
    """
    remember(study, beside)
    if chosen_on is not None:
        keep(study, chosen_on)
    dataset = data_again(study, data)
    if masks and dataset is None:
        raise UserError("--masks: writes masks beside their images, so it needs them; give --data FOLDER")
    with lease.waited_for(study.root, "report"):
        write_report(study, dataset)
        if masks and dataset is not None:
            write_masks(study, dataset)


def list_registered() -> None:
    """Print what there is to choose from."""
    print("architectures: " + ", ".join(architectures.names()) + ", any unet-<widths>")
    for name, step in methods.METHODS.items():
        values = methods.parameters(methods.build(name))
        what = "method" if step.kind == "train" else step.kind
        print(f"{what} {name}" + "".join(f"  {key}={value}" for key, value in values.items()))
    print(
        "datasets: " + ", ".join(datasets.DATASETS) + ", any folder of images with masks, or of volumes in "
        "the Decathlon's or nnU-Net's layout"
    )
    print("matrices: " + ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.yaml"))))
    for plugin in plugins.LOADED.values():
        print(
            f"plug-in {plugin.name}: " + ", ".join(f"{kind} {name}" for kind, name in sorted(plugin.brings))
        )
    for name, why in plugins.BROKEN.items():
        print(f"plug-in {name}: left out, for it fails ({why})")


def check_plugin(path: Path) -> int:
    """Ask of what a user's file brings all that the tests ask of what is built in; the exit code.

    A dataset can be read here where it needs no folder; any other is checked when a study reads it.
    """
    plugin = plugins.load_file(path)
    faults_of = {
        "method": faults_of_method,
        "architecture": faults_of_network,
        "dataset": _faults_of_dataset,
    }
    faults = 0
    for what, name in sorted(plugin.brings):
        if what == "dataset" and not datasets.source(name).built_in:
            print(f"dataset {name}: registered; its cases are checked whenever they are read")
            continue
        found = faults_of[what](name)
        faults += len(found)
        print(f"{what} {name}: " + ("; ".join(found) or "well"))
    return 1 if faults else 0


def _faults_of_dataset(name: str) -> list[str]:
    """What is wrong with a dataset that needs no folder; nothing if it is well."""
    try:
        datasets.load(name)
    except UserError as error:
        return [str(error)]
    except Exception as error:  # of the plug-in's own code
        return [brief(error)]
    return []
