"""Verbs and flags, nothing else. Flags are those of ``bench/planning/options.py``."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

import bench
from bench.errors import UserError
from bench.files import stopping
from bench.files.atomic import disk_trouble
from bench.planning.options import Flag, Options, flags, typed_as
from bench.telling import print_line, told_to
from bench.using.wishes import ExportWish, Limits, Wish

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Compare ways of making medical image segmentation networks light.",
)
StudyFolder = Annotated[Path, typer.Argument(help="The study's folder.")]


def with_flags(
    only: Callable[[str, Flag], bool], of: Any = Options
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the flags of ``of`` that ``only`` chooses; what is typed comes as one ``options``."""
    chosen = [(own, known) for own, known in flags(of) if only(own.name, known)]
    types = get_type_hints(of)

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def call(**typed: Any) -> None:
            context = typed.get("context")
            if context is not None and context.invoked_subcommand:
                return  # the other verb has flags of its own
            given = {own.name: typed.pop(own.name) for own, _ in chosen}
            for own, known in chosen:
                if known.parse is not None and given[own.name] is not None:
                    given[own.name] = known.parse(given[own.name])
            verb(options=of(**given), **typed)

        shown = [
            inspect.Parameter(
                own.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=own.default,
                annotation=Annotated[
                    types[own.name] if not known.parse else list[str] if own.default == () else str | None,
                    typer.Option(typed_as(own, known), help=known.help, **known.shown),
                ],
            )
            for own, known in chosen
        ]
        hints = get_type_hints(verb, include_extras=True)
        kept = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name])
            for p in inspect.signature(verb).parameters.values()
            if p.name != "options"
        ]
        parameters = [*kept, *shown]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def _say_version(asked: bool) -> None:
    if asked:
        print(f"lightseg-bench {bench.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
@with_flags(lambda name, flag: True)
def matrix(
    context: typer.Context,
    options: Options,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Run a matrix: plan its jobs, run those without a record, profile and report."""
    from bench.commands import run_matrix

    raise typer.Exit(run_matrix(options))


@app.command()
@with_flags(lambda name, flag: flag.of_a_job)
def job(
    study: StudyFolder,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    options: Options,
) -> None:
    """Run one planned job; what executors run."""
    from bench.running.job_process import run_job

    raise typer.Exit(run_job(study, job_id, options))


@app.command()
@with_flags(lambda name, flag: name == "plugin")
def profile(study: StudyFolder, options: Options) -> None:
    """Measure parameters, MACs, latency and memory of a study's networks."""
    from bench import plugins
    from bench.commands import profile_study
    from bench.study.store import existing

    plugins.load(options.plugin)
    root = existing(study)
    profile_study(root, root.jobs())


@app.command()
@with_flags(lambda name, flag: name in ("data", "plugin"))
def report(
    study: StudyFolder,
    options: Options,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Predicted masks as NIfTI or PNG, beside their images, in masks/."),
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Another study of the same data and split, for a table of both; remembered."),
    ] = None,
    chosen_on: Annotated[
        Path | None,
        typer.Option(
            help="Patients that choices were made on, one a line: contrasts stand on the others, too."
        ),
    ] = None,
) -> None:
    """Write a study's tables and figures from its records; trains and measures nothing."""
    from bench import plugins
    from bench.commands import report_study
    from bench.study.store import existing

    plugins.load(options.plugin)
    report_study(existing(study), options.data, masks, tuple(beside or ()), chosen_on)


@app.command()
@with_flags(lambda name, flag: name in ("data", "image_size", "device", "precision"))
def performance(
    options: Options,
    dataset: Annotated[str, typer.Option(help="See 'list'; 2-D.")] = "phantom",
    results: Annotated[Path, typer.Option(help="Where the figures go.")] = Path("results/performance"),
    quick: Annotated[bool, typer.Option("--quick", help="Tiny networks, seconds: a trial.")] = False,
    ways: Annotated[
        bool, typer.Option("--ways", help="Instead: each network's step in every way to compute it.")
    ] = False,
    peer: Annotated[str | None, typer.Option(help="torchdistill: its users' loop as well.")] = None,
    peer_python: Annotated[
        Path | None, typer.Option(help="The Python of an environment that has it; default: this one.")
    ] = None,
) -> None:
    """Measure distillation against a plain loop, the baseline and the machine; minutes long."""
    from bench.performance.command import compare_ways, measure
    from bench.performance.peer import find_peer

    if ways:
        compare_ways(replace(options, dataset=dataset), results, quick)
        return
    found = find_peer(peer, peer_python) if peer is not None else None
    measure(replace(options, dataset=dataset), results, quick, found)


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="Which: liver-ct, sunnybrook-lv, hippocampus or liver.")],
    source: Annotated[
        Path | None, typer.Option(help="liver-ct, sunnybrook-lv: a clone of its repository.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Default: data/<dataset>.")] = None,
) -> None:
    """Make a dataset's folder from where it is published."""
    from bench.data.prepare import prepare as make

    make(dataset, source, data or Path("data") / dataset)


@app.command()
def status(study: StudyFolder) -> None:
    """Say what of a study is done, running, waiting or failed, from its files alone."""
    from bench.study.store import existing
    from bench.watching.status import status_lines

    for line in status_lines(existing(study)):
        print(line)


@app.command()
@with_flags(lambda name, flag: True, of=Wish)
def predict(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="STUDY:ID (a study's folder and a job's id), a bundle of export, or a file of weights.",
        ),
    ],
    inputs: Annotated[list[Path], typer.Argument(help="Images, volumes, DICOM series, or folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for masks.")],
    options: Wish,
) -> None:
    """Write the masks that a finished network finds in files, and a list of what was done."""
    from bench import plugins
    from bench.using.folder import is_faulty, predict_files
    from bench.using.named import named

    plugins.load(options.plugin)
    rows = predict_files(named(network), inputs, out, options)
    raise typer.Exit(1 if any(map(is_faulty, rows)) else 0)


@app.command()
@with_flags(lambda name, flag: True, of=ExportWish)
def export(
    study: StudyFolder,
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the bundle.")],
    options: ExportWish,
) -> None:
    """Write a finished network as a bundle that works without this project."""
    from bench import plugins
    from bench.study.store import existing
    from bench.using.export import export as write

    plugins.load(options.plugin)
    write(existing(study), job_id, out, options)


@app.command()
@with_flags(lambda name, flag: True, of=Limits)
def choose(study: StudyFolder, options: Limits) -> None:
    """Name the best network of a study within limits of time, size, memory and Dice."""
    from bench import plugins
    from bench.study.store import existing
    from bench.using.choice import choose_of, tell

    plugins.load(options.plugin)
    root = existing(study)
    with told_to(functools.partial(print, file=sys.stderr) if options.json else print_line):
        choice = choose_of(root, options)
    print(tell(root, choice, options))
    raise typer.Exit(0 if choice.best else 1)


@app.command("check-plugin")
def check_plugin(file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file.")]) -> None:
    """Say whether the methods and networks of a plug-in do what they must."""
    from bench.commands import check_plugin as check

    raise typer.Exit(check(file))


@app.command("list")
@with_flags(lambda name, flag: name == "plugin")
def list_(options: Options) -> None:
    """List architectures, methods with their parameters, datasets, matrices and plug-ins."""
    from bench import plugins
    from bench.commands import list_registered

    plugins.load(options.plugin)
    list_registered()


def main() -> None:
    """Run the command line; a user's mistake or a full disk is one line on stderr and exit code 2.

    Stopped by Ctrl-C or SIGTERM: 130 or 143.
    """
    try:
        with stopping.at_once(), told_to(print_line):
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
