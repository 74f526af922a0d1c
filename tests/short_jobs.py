"""Jobs of ``EPOCHS`` epochs that wait in their midst for as long as a test wants: for real clusters.

As a script it is the command line with these jobs, here and wherever its executor runs them; profiling
runs each network three times on small images and leaves out its memory, reports have no figures. While a
study has a file ``held``, its jobs go no further than their next epoch of training, where they can be
stopped; one with a file ``unreported`` gets no report.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder has a ``methods``, too

from bench.files import stopping
from bench.planning.options import Options
from bench.planning.session import Session
from bench.running import job_process

EPOCHS = 3
SCRIPT = Path(__file__)
true_run_job = job_process.run_job


def run_job(root: Path, job_id: str, options: Options, quiet: bool = False, to_a_file: bool = False) -> int:
    """The true ``run_job`` in a process of its own."""
    complete = job_process.complete

    def held(session: Session, job: Any, options: Options, reporter: Any) -> Any:
        reporter.between_epochs.append(functools.partial(_wait, root / "held"))
        return complete(session, job, options, reporter)

    job_process.complete = held
    without_surfaces()
    return true_run_job(root, job_id, replace(options, epochs=EPOCHS), quiet, to_a_file)


def _wait(held: Path, phase: str) -> None:
    while phase == "train" and held.exists():
        stopping.check()
        time.sleep(0.05)


def without_surfaces() -> None:
    """Leave distances between surfaces out in this process: their library takes seconds to import."""
    from bench.compute import processes
    from bench.scoring import evaluation

    evaluation.surface_scores = lambda *_: {"hd95": 1.0, "nsd": 1.0}
    processes.PRELOAD = [name for name in processes.PRELOAD if not name.startswith("monai")]


def profile_briefly(change: Callable[[Any, str, Any], None], memory: bool = False) -> None:
    """Profile on small images, three repeats, with or without memory; ``change`` sets attributes."""
    from bench.scoring import inference, latency, profiling

    change(latency, "latencies", functools.partial(latency.latencies, repeats=3, seconds=0.0))
    change(inference, "SIDES", (64,))
    if not memory:
        change(profiling, "in_own_process", lambda *_: None)


def report_without_figures(change: Callable[[Any, str, Any], None]) -> None:
    """They take most of a report's time; ``change`` sets attributes."""
    from bench.report import report

    for name in ("write_figures", "write_figures_of_made", "write_panel"):
        change(report, name, lambda *_: [])


def plan_for_one_core() -> None:
    """Beside another test each step of two threads would wait for both."""
    from bench.planning import session
    from bench.scoring import profiling

    session.usable_cores = profiling.usable_cores = lambda: 1


def main() -> None:
    """The command line; what it starts elsewhere is this script again."""
    import short_jobs  # by its own name, under which the processes find ``run_job``

    from bench import cli

    job_process.run_job = short_jobs.run_job
    if sys.argv[1] not in ("job", "choose", "export", "predict"):  # they need nothing of what others import
        _change_runs()
    cli.main()


def _change_runs() -> None:
    from bench import commands as verbs
    from bench.running.executors import commands

    def reported(study: Any, *arguments: Any) -> None:
        if not (study.root / "unreported").exists():
            write_report(study, *arguments)

    write_report, verbs.write_report = verbs.write_report, reported
    report_without_figures(setattr)
    verbs.run_job = job_process.run_job
    without_surfaces()
    profile_briefly(setattr)
    commands.ENTRY = [str(SCRIPT)]
    plan_for_one_core()


if __name__ == "__main__":
    main()
