"""Verbs and flags, nothing else."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bench import stopping
from bench.errors import UserError
from bench.integrity import disk_trouble
from bench.protocol import BATCH_SIZE, SEEDS
from bench.store import Study

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Compare ways of making medical image segmentation networks light.",
)

MatrixFlag = Annotated[str | None, typer.Option(help="quick, unets, full, or a YAML file.")]
DatasetFlag = Annotated[str | None, typer.Option(help="See 'list', or a folder of volumes.")]
DataFlag = Annotated[Path | None, typer.Option("--data", help="The dataset's folder.")]
ResultsFlag = Annotated[Path | None, typer.Option(help="Default: results/<dataset>.")]
SizeFlag = Annotated[int | None, typer.Option(help="Side of the square that networks see.")]
SeedsFlag = Annotated[str | None, typer.Option(help="E.g. 0,1,2.")]
OnlyFlag = Annotated[str | None, typer.Option(help="architecture:method, wildcards allowed.")]
DeviceFlag = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
PrecisionFlag = Annotated[str, typer.Option(help="auto, fp32 or bf16.")]
KeyFlag = Annotated[
    str, typer.Option(metavar="REGEX", help="What of a volume's name is its patient; folders by path only.")
]
SplitsFlag = Annotated[Path | None, typer.Option(help="Use this splits.json.")]
NoTestFlag = Annotated[bool, typer.Option("--no-test", help="Leave the test set unread.")]
GbFlag = Annotated[float, typer.Option(help="Largest recording of a teacher's targets, in GB.")]


@app.callback(invoke_without_command=True)
def matrix(
    context: typer.Context,
    matrix: MatrixFlag = None,
    dataset: DatasetFlag = None,
    data: DataFlag = None,
    results: ResultsFlag = None,
    image_size: SizeFlag = None,
    seeds: SeedsFlag = None,
    only: OnlyFlag = None,
    device: DeviceFlag = "auto",
    precision: PrecisionFlag = "auto",
    splits: SplitsFlag = None,
    patient_key: KeyFlag = "",
    slices: Annotated[str, typer.Option(help="axial: 2-D networks on the slices of volumes.")] = "",
    micro_batch: Annotated[
        int | None, typer.Option(metavar="N", help="Samples in memory at a time; gradients add up.")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(metavar="G", help="Choose --micro-batch so that training fits.")
    ] = None,
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Compute inner features again instead of keeping them.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Jobs at a time; the cores are divided among them.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, e.g. auto; else one is made.")
    ] = None,
    slurm: Annotated[
        str | None, typer.Option(metavar="KEY=VALUE,…", help="Of each job: partition=…,time=…,gpus=… etc.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Weights of the teacher (safetensors)."),
    ] = None,
    targets_gb: GbFlag = 8.0,
    no_test: NoTestFlag = False,
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="A study without torch.compile, kept in study.json.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Curves for TensorBoard, in the study's tensorboard/.")
    ] = False,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Track in MLflow, e.g. sqlite:///mlflow.db.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run those that failed, were blocked or killed, only.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the jobs, run nothing.")] = False,
) -> None:
    """Run a matrix: plan its jobs, run those without a record, profile and report."""
    if context.invoked_subcommand:
        return
    if matrix is None:
        raise UserError("--matrix is missing; e.g. --matrix quick, or a verb: see --help")
    if slices not in ("", "axial"):
        raise UserError(f"--slices {slices!r} is unknown; known: axial")
    if micro_batch is not None and memory_gb is not None:
        raise UserError("--micro-batch and --memory-gb: give one; the second chooses the first")
    if micro_batch is not None and (micro_batch < 1 or BATCH_SIZE % micro_batch):
        raise UserError(f"--micro-batch {micro_batch}: must divide the batch of {BATCH_SIZE}, e.g. 4")
    if memory_gb is not None and not 0 < memory_gb < math.inf:
        raise UserError(f"--memory-gb {memory_gb:g}: must be positive and finite")
    from bench.run import Order, run_matrix

    order = Order(
        matrix=matrix,
        dataset=dataset,
        data=data,
        results=results,
        image_size=image_size,
        seeds=_seeds(seeds),
        only=only,
        device=device,
        precision=precision,
        splits=splits,
        workers=workers,
        executor=executor,
        address=address,
        slurm=slurm,
        teacher=teacher,
        targets_gb=targets_gb,
        no_test=no_test,
        no_compile=no_compile,
        patient_key=patient_key,
        slices=slices,
        micro_batch=micro_batch,
        memory_gb=memory_gb,
        checkpointing=checkpointing,
        tensorboard=tensorboard,
        mlflow=mlflow,
    )
    raise typer.Exit(run_matrix(replace(order, dry_run=dry_run, retry_failed=retry_failed), say))


@app.command()
def job(
    study: Annotated[Path, typer.Argument(help="The study's folder.")],
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    data: DataFlag = None,
    device: DeviceFlag = "auto",
    targets_gb: GbFlag = 8.0,
    no_test: NoTestFlag = False,
) -> None:
    """Run one planned job; what executors run."""
    from bench.run import run_job

    raise typer.Exit(run_job(study, job_id, data, device, targets_gb, no_test))


@app.command()
def profile(study: Annotated[Path, typer.Argument(help="The study's folder.")]) -> None:
    """Measure parameters, MACs, latency and memory of a study's networks."""
    from bench.run import profile_study

    root = existing(study)
    profile_study(root, root.jobs(), print)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(help="The study's folder.")], data: DataFlag = None
) -> None:
    """Write a study's tables and figures from its records; trains and measures nothing."""
    from bench.run import report_study

    report_study(existing(study), data, print)


@app.command()
def performance(
    dataset: Annotated[str, typer.Option(help="See 'list'; 2-D.")] = "phantom",
    data: DataFlag = None,
    results: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("results/performance"),
    image_size: SizeFlag = None,
    device: DeviceFlag = "auto",
    precision: PrecisionFlag = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Tiny networks, seconds: a trial.")] = False,
) -> None:
    """Measure distillation against a plain loop, the baseline and the machine; minutes long."""
    from bench.performance.run import measure as measure_performance

    measure_performance(dataset, data, results, image_size, device, precision, quick, print)


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="liver-ct, hippocampus or liver.")],
    source: Annotated[Path | None, typer.Option(help="liver-ct: a clone of its repository.")] = None,
    data: Annotated[Path | None, typer.Option(help="Default: data/<dataset>.")] = None,
) -> None:
    """Make a dataset's folder from where it is published."""
    from bench.data.prepare import prepare as make

    make(dataset, source, data or Path("data") / dataset, print)


@app.command("list")
def list_() -> None:
    """List architectures, methods with their parameters, datasets and matrices."""
    from bench.run import list_registered

    list_registered(print)


def say(line: str) -> None:
    """Print at once, also into a file: a process that is killed has told all by then."""
    print(line, flush=True)


def existing(root: Path) -> Study:
    """The study in ``root``, which must have been begun."""
    study = Study(root)
    if study.settings() is None:
        raise UserError(f"{root}: no study.json here; name a folder that --matrix has filled")
    return study


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or min(seeds) < 0 or max(seeds) >= SEEDS or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text!r}: must be different whole numbers from 0, e.g. 0,1,2")
    return seeds


def main() -> None:
    """Run the command line; a user's mistake or a full disk is one line on stderr and exit code 2.

    Stopped by Ctrl-C or SIGTERM: 130 or 143.
    """
    try:
        with stopping.at_once():
            app()
    except stopping.Stopped as stop:
        print(f"{stop}; the same command goes on where it was", file=sys.stderr)
        raise SystemExit(stop.code) from None
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        trouble = disk_trouble(error)
        if trouble is None:
            raise
        print(f"error: {error.filename or 'a file'}: {trouble}", file=sys.stderr)
        raise SystemExit(2) from None
