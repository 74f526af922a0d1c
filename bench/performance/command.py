"""The command: measure, print every ratio, write ``performance.json``, its page, profiles and plot.

With ``--ways`` it measures instead whether steps are computed in the best way: ``ways.json``, ``ways.md``.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bench.compute.quiet import is_busy
from bench.errors import UserError
from bench.files.atomic import write_json, write_text
from bench.performance.growth import measure_growth
from bench.performance.inference import measure_inference
from bench.performance.lab import QUICK, Lab, Scale
from bench.performance.layers import measure_layers
from bench.performance.page import page, ways_page, write_plot
from bench.performance.peer import Peer
from bench.performance.steps import measure_steps, teacher_profile
from bench.performance.ways import measure_ways
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.protocol import BATCH_SIZE, epoch_batches
from bench.scoring.precision import ask_precision
from bench.study.provenance import provenance

log = logging.getLogger(__name__)


def measure(options: Options, results: Path, quick: bool, peer: Peer | None = None) -> dict[str, Any]:
    """Measure everything and write it to ``results``; returns what ``performance.json`` holds.

    Raises:
        UserError: options or data that can't be used; nothing is written then.
    """
    with _lab(options, results, quick, peer) as lab:
        found = _measure(lab)
        profiles = {kind: teacher_profile(lab, kind) for kind in lab.precisions}
    text = page(found)
    for kind, table in profiles.items():
        write_text(results / f"profile-{kind}.txt", table)
    write_plot(results, found)
    write_text(results / "performance.md", text)
    write_json(results / "performance.json", found)
    log.info(text)
    log.info(f"performance: written to {results}")
    return found


def compare_ways(options: Options, results: Path, quick: bool) -> dict[str, Any]:
    """Each network's step in every way to compute it, and a narrow one's layers; returns ``ways.json``.

    Raises:
        UserError: options or data that can't be used; nothing is written then.
    """
    with _lab(options, results, quick) as lab:
        busy = is_busy()
        if busy:
            log.warning("other processes use this machine: what is measured now is not what it can do")
        log.info("each network's step, compiled or not, channels-last or not")
        found = _about(lab) | {"busy": busy, "ways": measure_ways(lab)}
        log.info(f"the layers of {lab.scale.narrow}")
        found["layers"] = measure_layers(lab, lab.scale.narrow)
    text = ways_page(found)
    write_text(results / "ways.md", text)
    write_json(results / "ways.json", found)
    log.info(text)
    log.info(f"performance: written to {results}")
    return found


@contextmanager
def _lab(options: Options, results: Path, quick: bool, peer: Peer | None = None) -> Iterator[Lab]:
    """Data, networks and jobs as a study of these options would have them."""
    scale = QUICK if quick else Scale()
    scale = replace(scale, image_size=options.image_size or scale.image_size)
    session = open_session(results, options)
    if quick:  # small work on many threads is mostly waiting for each other
        session = replace(session, settings=session.settings | {"threads": 1})
    if session.dataset.spatial_dims != 2:
        raise UserError(f"--dataset {options.dataset!r} is 3-D; performance measures 2-D slices")
    session.say_what_is_odd()
    matrix = parse_matrix({"teacher": scale.teacher, "students": list(scale.students)}, "performance")
    if options.precision == "auto":
        asked = [cell.job for cell in cells(matrix, session.setting(scale.image_size))]
        session = ask_precision(session, asked)
    jobs = [cell.job for cell in cells(matrix, session.setting(scale.image_size))]
    torch.set_num_threads(session.settings["threads"])
    # Jobs have a process each; here all steps share one, and torch gives up compiling after eight of them.
    patient = torch._dynamo.config.patch(recompile_limit=64, fail_on_recompile_limit_hit=True)
    with patient, tempfile.TemporaryDirectory() as scratch:
        yield Lab(session, scale, Path(scratch), jobs, peer)


def _measure(lab: Lab) -> dict[str, Any]:
    session = lab.session
    log.info("inference")
    inference = measure_inference(lab)  # first: no later call leaves this process as it came
    log.info(f"training steps, {' and '.join(lab.precisions)}, {lab.scale.rounds} rounds")
    steps = measure_steps(lab)
    log.info("growth with the image's side, slices and jobs")
    growth = measure_growth(lab)
    return {
        **_about(lab),
        "train_cases": len(session.split.train),
        "steps_per_epoch": epoch_batches(len(session.split.train)),
        "distilled_jobs": sum(bool(job.teachers) for job in lab.jobs),
        "compiled": lab.runtime("fp32").compiled and not lab.uncompiled,
        **steps,
        "growth": growth,
        "inference": inference,
    }


def _about(lab: Lab) -> dict[str, Any]:
    """What was measured, on what, and by which code."""
    session = lab.session
    return {
        "provenance": provenance(),
        "dataset": session.dataset.name,
        "synthetic": session.dataset.synthetic,
        "device": session.device.type,
        "threads": session.settings["threads"],
        "batch_size": BATCH_SIZE,
        "scale": asdict(lab.scale),
    }
