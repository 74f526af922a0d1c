"""What the verbs do: plan a matrix, run its jobs, run one job."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from torch.nn import Module

import architectures
import methods
from bench import data as datasets
from bench.data.dataset import digest
from bench.errors import UserError
from bench.executors import local
from bench.filling import fill_machine
from bench.gate import CannotLearn
from bench.matrix import BUILT_IN, Cell, Matrix, Setting, cells, read_matrix
from bench.phases import Phases, shares
from bench.probe import choose_micro_batch
from bench.profiling import profile
from bench.progress import Progress
from bench.report.report import write_report
from bench.session import Session, Wishes, open_session
from bench.shapes import recording_bytes
from bench.spec import Job
from bench.store import Study, write_file
from bench.targets import human_bytes
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
    teacher: Path | None = None
    targets_gb: float = 8.0
    no_test: bool = False
    no_compile: bool = False
    patient_key: str = ""
    slices: str = ""
    micro_batch: int | None = None
    memory_gb: float | None = None
    checkpointing: bool = False
    dry_run: bool = False


def run_matrix(order: Order, say: Callable[[str], None]) -> int:
    """Plan, run what has no record, report; the exit code."""
    started, phases = time.perf_counter(), Phases()
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
    )
    with phases.time("decoding"):
        session = open_session(root, wishes)
    planned = plan(matrix, session, order)
    if session.study.settings() is None:
        session = _measured(session, wishes, matrix, order, say)
        planned = plan(matrix, session, order)
    skipped = [cell for cell in planned if cell.reason]
    todo = to_run(session.study, [cell.job for cell in planned if not cell.reason], order.no_test)
    if order.dry_run:
        for cell in planned:
            state = f"skipped: {cell.reason}" if cell.reason else "to do" if cell.job in todo else "done"
            say(f"{cell.job.id}  {cell.job.label}  {state}")
        say(f"predicted targets: {human_bytes(predicted_target_bytes(todo, session))}")
        return 0
    session.begin()
    for cell in planned:
        session.study.plan(cell.job)
        if cell.reason:
            local.fail(session.study, cell.job, "skipped", cell.reason)
        if cell.job.checkpoint and order.teacher:
            copy = session.study.path("weights", cell.job.id)
            write_file(copy, lambda path: shutil.copyfile(str(order.teacher), path))
    done = len(planned) - len(todo) - len(skipped)
    say(
        f"{root}: {len(planned)} jobs, {done} done, {len(todo)} to run"
        + (f", {len(skipped)} skipped" if skipped else "")
    )
    failures = 0
    if todo:
        flags = {
            "data": folder,
            "device": order.device,
            "targets_gb": order.targets_gb,
            "no_test": order.no_test,
        }
        failures = local.run(session.study, todo, run_job, flags, say)
    else:
        say("nothing to run")
    with phases.time("profiling"):
        profile(session.study, [cell.job for cell in planned if not cell.reason], say)
    with phases.time("report"):
        write_report(session.study, session.dataset, say)
    if todo:
        records = [session.study.record(job.id) for job in todo]
        say(shares(time.perf_counter() - started, phases, records, session.settings["workers"]))
    return 1 if failures else 0


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
        TorchArtefact.load(build, path)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"--teacher {path}: not a safetensors file with the weights of {architecture} ({reason})"
        ) from None
    return digest(path.read_bytes())


def to_run(study: Study, jobs: list[Job], no_test: bool) -> list[Job]:
    """The jobs without the scores that are asked for, and done teachers whose weights they lack.

    A job whose weights or predictions turn out to be damaged is not done either.
    """

    def is_done(job: Job) -> bool:
        record = study.record(job.id)
        if record is None or record["status"] != "done" or not (no_test or "test" in record):
            return False
        return not study.must_mend(job.id)

    todo = [job for job in jobs if not is_done(job)]
    needed = {teacher for job in todo for teacher in job.teachers if not study.has_weights(teacher)}
    return [job for job in jobs if job in todo or job.id in needed]


def run_job(
    root: Path,
    job_id: str,
    data: Path | None,
    device: str,
    targets_gb: float,
    no_test: bool,
    quiet: bool = False,
) -> int:
    """Run one planned job in this process; the exit code. ``quiet``: other jobs print beside it."""
    from bench import job as job_module

    study = Study(root)
    job = study.job(job_id)
    progress = Progress(sys.stdout, sys.stdout.isatty() and not quiet, job.label if quiet else "")
    try:
        phases = Phases()
        with phases.time("decoding"):
            session = open_session(root, Wishes(job.dataset, data, device))
        job_module.run(
            session.study,
            job,
            session.prepared(job.image_size, job.slices),
            session.device,
            with_test=not no_test,
            targets_gb=targets_gb,
            on_epoch=progress.epoch,
            say=progress.say,
            phases=phases,
        )
    except UserError as error:
        local.fail(study, job, "failed", str(error).replace(str(root), root.name))
        print(f"error: {error}", file=sys.stderr)
        return 2
    except CannotLearn as error:
        local.fail(study, job, "cannot-learn", str(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        local.fail(study, job, "failed", f"{type(error).__name__}: {error}".splitlines()[0])
        return 1
    return 0


def report_study(study: Study, data: Path | None, say: Callable[[str], None]) -> None:
    """Write a study's report; with its images where they are built in or ``data`` names them."""
    settings = study.settings() or {}
    dataset = None
    if data is not None or datasets.source(settings["dataset"]).built_in:
        key = settings.get("patient_key", "")
        dataset = datasets.load(settings["dataset"], data, study.root / "cache", key)
    write_report(study, dataset, say)


def list_registered(say: Callable[[str], None]) -> None:
    """Say what there is to choose from."""
    say("architectures: " + ", ".join(architectures.names()) + ", any unet-<widths>")
    for name in methods.names():
        values = methods.parameters(methods.build(name))
        say(f"method {name}" + "".join(f"  {key}={value}" for key, value in values.items()))
    say("datasets: " + ", ".join(datasets.DATASETS) + ", any folder in the Decathlon's or nnU-Net's layout")
    say("matrices: " + ", ".join(sorted(path.stem for path in BUILT_IN.glob("*.yaml"))))
