"""What the verbs do: plan a matrix, run its jobs, run one job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import data as datasets
from bench.errors import UserError
from bench.executors import local
from bench.matrix import Cell, Matrix, cells, read_matrix
from bench.progress import Progress
from bench.session import Session, Wishes, open_session
from bench.spec import Job
from bench.store import Study


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
    targets_gb: float = 8.0
    no_test: bool = False
    dry_run: bool = False


def run_matrix(order: Order, say: Callable[[str], None]) -> int:
    """Plan, run what has no record, report; the exit code."""
    matrix = read_matrix(order.matrix)
    if order.seeds:
        matrix = matrix.model_copy(update={"seeds": order.seeds})
    name = order.dataset or matrix.dataset
    root = order.results or Path("results") / name
    wishes = Wishes(
        name, order.data, order.image_size, order.device, order.precision, order.splits
    )
    session = open_session(root, wishes, write=not order.dry_run)
    planned = plan(matrix, session, order)
    todo = [cell.job for cell in planned if not cell.reason and not is_done(session, cell.job, order)]
    if order.dry_run:
        for cell in planned:
            state = cell.reason and f"skipped: {cell.reason}" or (
                "to do" if cell.job in todo else "done"
            )
            say(f"{cell.job.id}  {cell.job.label}  {state}")
        return 0
    for cell in planned:
        if not cell.reason:
            session.study.plan(cell.job)
    done = len(planned) - len(todo)
    say(f"{root}: {len(planned)} jobs, {done} done, {len(todo)} to run")
    failures = 0
    if todo:
        flags = ["--device", order.device, "--targets-gb", str(order.targets_gb)]
        flags += ["--data", str(order.data)] if order.data else []
        flags += ["--no-test"] if order.no_test else []
        failures = local.run(session.study, todo, flags, say)
    return 1 if failures else 0


def plan(matrix: Matrix, session: Session, order: Order) -> list[Cell]:
    """All cells of the matrix in this study."""
    name = session.dataset.name
    size = order.image_size or matrix.image_size or datasets.DATASETS[name].image_size
    planned = list(cells(matrix, session.setting(size), order.only))
    if not planned:
        raise UserError(f"--only {order.only!r}: no job of matrix {order.matrix} matches")
    return planned


def is_done(session: Session, job: Job, order: Order) -> bool:
    """Whether the job has a record with the scores that are asked for."""
    record = session.study.record(job.id)
    if record is None or record["status"] != "done":
        return False
    return order.no_test or "test" in record


def run_job(
    root: Path, job_id: str, data: Path | None, device: str, targets_gb: float, no_test: bool
) -> int:
    """Run one planned job in this process; the exit code."""
    from bench import job as job_module

    job = Study(root).job(job_id)
    session = open_session(root, Wishes(job.dataset, data, job.image_size, device))
    terminal = sys.stdout.isatty()

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    progress = Progress(write, terminal)
    job_module.run(
        session.study,
        job,
        session.prepared(job.image_size),
        session.device,
        with_test=not no_test,
        targets_gb=targets_gb,
        on_epoch=progress.epoch,
        say=progress.say,
    )
    return 0
