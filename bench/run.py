"""What the verbs do: plan a matrix, run its jobs, run one job."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch.nn import Module

import architectures
import methods
from bench import data as datasets
from bench import lease
from bench.attempt import run_job
from bench.data.dataset import digest
from bench.errors import UserError
from bench.executors import Engine, engine, local
from bench.failures import fail, failure
from bench.filling import fill_machine
from bench.following import following
from bench.matrix import BUILT_IN, Cell, Matrix, Setting, cells, read_matrix
from bench.phases import Phases, shares
from bench.probe import choose_micro_batch
from bench.profiling import is_measured, profile
from bench.report.report import write_report
from bench.session import Session, Wishes, open_session
from bench.shapes import recording_bytes
from bench.spec import Job
from bench.store import Study, write_file
from bench.targets import human_bytes
from bench.todo import kind, states, to_run
from bench.trackers import open_trackers
from methods.artefact import TorchArtefact


@dataclass(frozen=True)
class Order:
    """One call of ``run_bench.py --matrix``."""

    matrix: str
    dataset: str | None = None
    data: Path | None = None
    results: Path | None = None
    image_size: int | None = None
    seeds: tuple[int, ...] | None = None
    only: str | None = None
    device: str = "auto"
    precision: str = "auto"
    splits: Path | None = None
    workers: int | None = None
    executor: str = "local"
    address: str | None = None
    slurm: str | None = None
    teacher: Path | None = None
    targets_gb: float = 8.0
    no_test: bool = False
    no_compile: bool = False
    patient_key: str = ""
    slices: str = ""
    micro_batch: int | None = None
    memory_gb: float | None = None
    checkpointing: bool = False
    tensorboard: bool = False
    mlflow: str | None = None
    dry_run: bool = False
    retry_failed: bool = False


def run_matrix(order: Order, say: Callable[[str], None]) -> int:
    """Plan, run what has no record, report; the exit code."""
    started, phases = time.perf_counter(), Phases()
    cluster = engine(order.executor, order.address, order.slurm)
    matrix = read_matrix(order.matrix)
    if order.seeds:
        matrix = matrix.model_copy(update={"seeds": order.seeds})
    name, folder = datasets.locate(order.dataset or matrix.dataset, order.data)
    root = order.results or Path("results") / name
    workers = order.workers or matrix.workers
    wishes = Wishes(
        dataset=name,
        data=folder,
        device=order.device,
        precision=order.precision,
        splits=order.splits,
        workers=workers,
        compile=not order.no_compile,
        patient_key=order.patient_key,
        micro_batch=order.micro_batch,
        memory_gb=order.memory_gb,
        checkpointing=order.checkpointing,
        elsewhere=cluster is not None,
    )
    trackers = [] if order.dry_run else open_trackers(root, order.tensorboard, order.mlflow)
    with phases.time("decoding"):
        session = open_session(root, wishes)
    if not order.no_test and not session.split.test:
        raise UserError(f"{order.splits or root / 'splits.json'}: test is empty; give --no-test")
    planned = plan(matrix, session, order)
    if session.study.settings() is None:
        session = _begun(session, wishes, matrix, order, say)
        planned = plan(matrix, session, order)
    jobs = [cell.job for cell in planned if not cell.reason]
    todo = to_run(session.study, jobs, order.no_test, order.retry_failed)
    if order.dry_run:
        found = dict(states(session.study, jobs, todo))
        for cell in planned:
            state = f"skipped: {cell.reason}" if cell.reason else found[cell.job]
            say(f"{cell.job.id}  {cell.job.label}  {state}")
        say(f"predicted targets: {human_bytes(predicted_target_bytes(todo, session))}")
        return 0
    session.begin()
    lease.tidy(root, lambda name: _is_over(session.study, name))
    for cell in planned:
        session.study.plan(cell.job)
        if cell.reason and (session.study.record(cell.job.id) or {}).get("reason") != cell.reason:
            fail(session.study, cell.job, "skipped", cell.reason)
        if cell.job.checkpoint and order.teacher:
            copy = session.study.path("weights", cell.job.id)
            write_file(copy, lambda path: shutil.copyfile(str(order.teacher), path))
    _say_plan(session.study, planned, jobs, todo, say)
    failures = 0
    with following(session.study, planned, todo, trackers, say) as shown:
        if todo:
            failures = _run_jobs(cluster, session.study, todo, order, folder, say, shown)
        else:
            say("nothing to run")
    with phases.time("profiling"):
        _profile(cluster, session.study, jobs, say)
    with phases.time("report"), lease.waited_for(root, "report", say):
        write_report(session.study, session.dataset, say, [cell.job.id for cell in planned])
    if todo and not cluster:
        records = [session.study.record(job.id) for job in todo]
        say(shares(time.perf_counter() - started, phases, records, session.settings))
    failures += _say_failures(session.study, jobs, say)
    return 1 if failures else 0


def _say_plan(
    study: Study, planned: list[Cell], jobs: list[Job], todo: list[Job], say: Callable[[str], None]
) -> None:
    """One line: how many jobs there are, done, to run, skipped, failed."""
    rest = Counter(kind(study, job) for job in jobs if job not in todo)
    say(
        f"{study.root}: {len(planned)} jobs, {rest['done']} done, {len(todo)} to run"
        + (f", {len(planned) - len(jobs)} skipped" if len(planned) > len(jobs) else "")
        + (f", {rest['failed']} failed before" if rest["failed"] else "")
        + (f", {rest['new']} left for a run without --retry-failed" if rest["new"] else "")
    )


def _run_jobs(
    cluster: Engine | None,
    study: Study,
    todo: list[Job],
    order: Order,
    data: Path | None,
    say: Callable[[str], None],
    shown: bool,
) -> int:
    """Run the jobs here or on the cluster; the number that failed.

    ``shown``: a live view has the screen.
    """
    for job in todo if order.retry_failed else ():
        lease.forget(study.root, job.id)
    flags = {
        "data": data,
        "device": order.device,
        "targets_gb": order.targets_gb,
        "no_test": order.no_test,
    }
    if cluster:
        return cluster.run(study, todo, flags, say)
    return local.run(study, todo, run_job, flags | ({"log": True} if shown else {}), say)


def _profile(cluster: Engine | None, study: Study, jobs: list[Job], say: Callable[[str], None]) -> None:
    """Measure where jobs run: here, or once on the cluster, whose machines are not this one."""
    if not cluster:
        profile_study(study, jobs, say)
    elif not is_measured(study, jobs, anywhere=True):
        cluster.profile(study, say)


def _is_over(study: Study, name: str) -> bool:
    """Whether a lease of that name is nobody's to take up: of a job with a record, or of no job."""
    return not study.is_planned(name) or study.path("records", name).is_file()


def _say_failures(study: Study, jobs: list[Job], say: Callable[[str], None]) -> int:
    """Name the failed ones among ``jobs`` and why; how many there are."""
    failed = [(job, why) for job in jobs if (why := failure(study.record(job.id)))]
    for job, why in failed:
        say(f"{job.id}  {job.label}: {why}")
    if failed:
        say(f"{len(failed)} of {len(jobs)} jobs without a result; --retry-failed runs them again")
    return len(failed)


def _begun(
    session: Session, wishes: Wishes, matrix: Matrix, order: Order, say: Callable[[str], None]
) -> Session:
    """A new study's session, its settings frozen. Of several processes one does it, the others take it."""
    if order.dry_run:
        return _measured(session, wishes, matrix, order, say)
    root = session.study.root
    try:
        with lease.waited_for(root, "begin", say):
            if session.study.settings() is not None:
                return open_session(root, wishes)
            session = _measured(session, wishes, matrix, order, say)
            session.begin()
            return session
    finally:
        if session.study.settings() is None:
            shutil.rmtree(root / "leases", ignore_errors=True)
            with contextlib.suppress(OSError):
                root.rmdir()


def _measured(
    session: Session, wishes: Wishes, matrix: Matrix, order: Order, say: Callable[[str], None]
) -> Session:
    """A new study's session with what is measured before its first job: memory first, then workers."""
    if order.memory_gb is not None and order.dry_run:
        say("--memory-gb: a run measures how many samples fit; these are the jobs of whole batches")
    elif order.memory_gb is not None:
        jobs = [cell.job for cell in plan(matrix, session, order) if not cell.reason]
        chosen = choose_micro_batch(session, wishes, jobs, order.memory_gb, say)
        session = replace(session, settings=session.settings | chosen)
    if wishes.workers is None:
        jobs = [cell.job for cell in plan(matrix, session, order) if not cell.reason]
        session = fill_machine(session, jobs, order.dry_run, say)
    return session


def plan(matrix: Matrix, session: Session, order: Order) -> list[Cell]:
    """All cells of the matrix in this study."""
    default = matrix.image_size or datasets.source(session.dataset.name).image_size
    size = session.usual_size(default) if order.image_size is None else order.image_size
    setting = session.setting(size, order.slices)
    checkpoint = check_teacher(order.teacher, matrix.teacher, setting) if order.teacher else ""
    planned = list(cells(matrix, setting, order.only, checkpoint))
    if not planned:
        raise UserError(f"--only {order.only!r}: no job of matrix {order.matrix} matches")
    return planned


def predicted_target_bytes(jobs: list[Job], session: Session) -> int:
    """What recording the teachers of ``jobs`` takes on disk, if none is over ``--targets-gb``."""
    recordings: dict[tuple[tuple[str, ...], int], list[Job]] = {}
    for job in jobs:
        if job.teachers:
            recordings.setdefault((job.teachers, job.seed), []).append(job)
    architecture = {job.id: job.architecture for job in jobs}
    total = 0
    for ((teacher, *_), _), students in recordings.items():
        name = architecture.get(teacher) or session.study.job(teacher).architecture
        samples = session.prepared(students[0].image_size, students[0].slices).samples
        total += recording_bytes(students, name, samples)
    return total


def check_teacher(path: Path, architecture: str, setting: Setting) -> str:
    """The checksum of a safetensors file, which must hold the teacher's weights and nothing else."""

    def build() -> Module:
        return architectures.build(
            architecture, setting.spatial_dims, setting.in_channels, setting.out_channels
        )

    try:
        module = TorchArtefact.load(build, path).module
    except ValueError as error:
        raise UserError(f"--teacher {error}; give one with the weights of {architecture}") from None
    for name, weight in module.state_dict().items():
        if not bool(weight.isfinite().all()):
            raise UserError(f"--teacher {path}: {name} holds NaN or infinite values; all must be finite")
    return digest(path.read_bytes())


def profile_study(study: Study, jobs: list[Job], say: Callable[[str], None]) -> None:
    """Measure the networks of ``jobs`` where that has not been done, alone on this machine."""
    if is_measured(study, jobs):
        return
    with lease.waited_for(study.root, "profile", say):
        told = False
        while busy := lease.at_work_here(study.root, study.is_planned):
            if not told:
                say(f"profiling: waiting for {busy}, which is running a job")
                told = True
            time.sleep(lease.POLL_SECONDS)
        profile(study, jobs, say)


def report_study(study: Study, data: Path | None, say: Callable[[str], None]) -> None:
    """Write a study's report; with its images where they are built in or ``data`` names them."""
    settings = study.settings() or {}
    if "dataset" not in settings:
        raise UserError(
            f"{study.root / 'study.json'}: the key 'dataset' is missing; remove it or restore it"
        )
    dataset = None
    if data is not None or datasets.source(settings["dataset"]).built_in:
        key = settings.get("patient_key", "")
        dataset = datasets.load(settings["dataset"], data, study.root / "cache", key)
    with lease.waited_for(study.root, "report", say):
        write_report(study, dataset, say)


def list_registered(say: Callable[[str], None]) -> None:
    """Say what there is to choose from."""
    say("architectures: " + ", ".join(architectures.names()) + ", any unet-<widths>")
    for name in methods.names():
        values = methods.parameters(methods.build(name))
        say(f"method {name}" + "".join(f"  {key}={value}" for key, value in values.items()))
    say("datasets: " + ", ".join(datasets.DATASETS) + ", any folder in the Decathlon's or nnU-Net's layout")
    say("matrices: " + ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.yaml"))))
