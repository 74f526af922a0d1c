"""Predicting files: each input one mask, whatever becomes of the others."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench.compute.device import choose_device
from bench.compute.memory import available_mb
from bench.errors import UserError
from bench.files.atomic import partial_path, remove_partials, write_file, write_text
from bench.files.checksums import checksum
from bench.report.tables.markup import csv_text
from bench.scoring.evaluation import summarise
from bench.study.code import code
from bench.using import listing, references
from bench.using.alone import alone_in
from bench.using.case import Found, predict_case, reason_of
from bench.using.inputs import Input, check_targets, find
from bench.using.listing import Listing
from bench.using.network import Network, check_runs, on_threads
from bench.using.pictures import write_mask, write_overlay
from bench.using.progress import Progress
from bench.using.wishes import Wish

log = logging.getLogger(__name__)

SCORES = "cases.csv"
OVERLAYS = "overlays"
HIDDEN = ".predicting"
"""In the output folder while a command writes to it."""
SHARE_OF_MEMORY = 0.5
"""Of the free memory, that a volume may take; larger ones are predicted in blocks."""


@dataclass(frozen=True)
class Run:
    """One call of ``predict``."""

    network: Network
    out: Path
    wish: Wish
    device: torch.device
    budget: int
    """Bytes that a volume may take."""
    masks: dict[str, Path]


def predict_files(
    network: Network, given: Sequence[Path], out: Path, wish: Wish | None = None
) -> list[listing.Row]:
    """Write a mask of every input, and ``predictions.json``; gives what it says of each of them.

    Raises:
        UserError: a mistake in what is asked for (nothing is predicted then), or a disk that is full.
    """
    check_runs(network)
    made_for, wish = network.made_for, wish or Wish()
    found, left = find(given, made_for, out)
    targets = [(one.target(made_for), one) for one in found]
    more = [listing.NAME, *([SCORES] if wish.masks else [])]
    pictures = [_overlay_of(target) for target, _ in targets] if wish.overlay else []
    check_targets(found, made_for, out, [*more, *pictures])
    if set(pictures) & {target for target, _ in targets}:
        raise UserError(
            f"{out / OVERLAYS}: would hold masks and overlays; give other inputs or no --overlay"
        )
    masks = references.find_masks(wish.masks, found, made_for.of_volumes) if wish.masks else {}
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; -o must name a folder")
    with alone_in(out, out / HIDDEN):
        return _predict_all(network, targets, pictures, masks, out, wish, left)


def _predict_all(
    network: Network,
    targets: Sequence[tuple[str, Input]],
    pictures: Sequence[str],
    masks: dict[str, Path],
    out: Path,
    wish: Wish,
    left: Any,
) -> list[listing.Row]:
    """Predict what is not finished yet, in a folder that is ours for now."""
    found = [one for _, one in targets]
    device = choose_device(wish.device)
    threads = on_threads(network.artefact, wish.threads)
    about = _about(network, device, threads, wish.affine)
    whole = partial(_is_whole, wish, masks, out)
    seen, finished = listing.begin(
        out, about, targets, [*([SCORES] if wish.masks else []), *pictures], wish.overwrite, whole
    )
    remove_partials(out)
    gigabytes = SHARE_OF_MEMORY * available_mb() / 1e3 if wish.memory_gb is None else wish.memory_gb
    moved = replace(network, artefact=network.artefact.to(device))
    run = Run(moved, out, wish, device, int(gigabytes * 1e9), masks)
    _tell_begin(network, found, left, finished, out)
    try:
        with Progress(len(found), len(finished)) as progress:
            for target, one in targets:
                if target not in finished:
                    _one(run, seen, target, one, progress)
    finally:
        seen.flush()
    if wish.masks:
        _write_scores(seen, out)
    rows = [seen.rows[target] for target, _ in targets]
    _tell_end(seen, rows, out, wish)
    return rows


def is_faulty(row: listing.Row) -> bool:
    """Whether a case has no mask, or a true mask that it can't be scored by."""
    return row["status"] != "done" or "score_fault" in row


def _is_whole(
    wish: Wish, masks: dict[str, Path], out: Path, one: Input, target: str, row: listing.Row
) -> bool:
    """Whether a case that was predicted before has its overlay and its score, where they are asked for."""
    if wish.overlay and not (out / _overlay_of(target)).is_file():
        return False
    truth = masks.get(one.name)
    return truth is None or ("scores" in row and row.get("mask_sha256") == checksum(truth))


def _one(run: Run, seen: Listing, target: str, one: Input, progress: Progress) -> None:
    """Predict a case and note what came of it.

    Raises:
        UserError: the disk takes no more.
    """
    started, out, network = time.perf_counter(), run.out, run.network
    scratch = partial_path(out / "blocks")
    try:
        sha256 = listing.input_checksum(one)
        found = predict_case(network, one, run.device, run.budget, scratch, run.wish.affine)
    except Exception as error:  # whatever one file does to a library must not end the others
        reason = reason_of(error, one)
        seen.note(target, status="failed", reason=reason)
        progress.failed(reason)
        return
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    classes = network.made_for.classes
    if found.volume is None:
        write = partial(write_mask, found.mask, classes, found.spacing)
    else:
        write = partial(found.volume.write, found.mask)
    write_file(out / target, write)
    if run.wish.overlay:
        own = partial(write_overlay, found.picture, found.tinted, network.made_for, found.spacing[:2])
        write_file(out / _overlay_of(target), own)
    shape = found.mask.shape if found.volume is None else found.volume.images[0].shape[:3]
    seen.note(
        target,
        status="done",
        shape=[int(side) for side in shape],
        spacing_mm=list(found.spacing),
        found={name: int(np.count_nonzero(found.mask == k)) for k, name in enumerate(classes, start=1)},
        seconds=round(time.perf_counter() - started, 3),
        input_sha256=sha256,
        output_sha256=checksum(out / target),
        **_scores(run, one, found),
    )
    progress.done()


def _scores(run: Run, one: Input, found: Found) -> dict[str, Any]:
    """What the list says of a case's score: nothing without ``--masks``."""
    path, made_for = run.masks.get(one.name), run.network.made_for
    if path is None:
        return {}
    try:
        scores = references.score(found.mask, path, made_for, found.volume, found.spacing)
        return {"scores": scores, "mask_sha256": checksum(path)}
    except (UserError, OSError) as error:
        return {"score_fault": str(error)}


def _write_scores(seen: Listing, out: Path) -> None:
    """A row a scored case, and the means; every case is taken for a patient."""
    rows = [
        {"case": row["case"], "patient": row["case"], **row["scores"]}
        for row in seen.rows.values()
        if "scores" in row
    ]
    rows = [{key: np.nan if value is None else value for key, value in row.items()} for row in rows]
    frame = pd.DataFrame(rows or [], columns=None if rows else ["case", "organ_size", "dice"])
    write_text(out / SCORES, csv_text(frame.drop(columns="patient", errors="ignore")))
    if rows:
        means = summarise(rows)
        seen.about["scores"] = {key: value for key, value in means.items() if key != "patients"}
        seen.flush()


def _about(network: Network, device: torch.device, threads: int, affine: str) -> dict[str, Any]:
    return {
        "network": {
            "label": network.label,
            "identity": network.identity,
            "weights_sha256": network.weights,
            "synthetic": network.synthetic,
        },
        "preprocessing": network.made_for.as_dict(),
        **({"affine": affine} if affine else {}),
        "computed": {"device": device.type, "threads": threads, **code()},
    }


def _overlay_of(target: str) -> str:
    name = target.removesuffix(".nii.gz").removesuffix(".png")
    return f"{OVERLAYS}/{name}.png"


def _tell_begin(network: Network, found: Sequence[Input], left: Any, finished: set[str], out: Path) -> None:
    done = f", {len(finished)} finished before" if finished else ""
    log.info(f"{out}: {len(found)} cases for {network.label}{done}")
    if network.synthetic:
        log.warning(f"{network.label} was trained on synthetic images; its masks mean nothing for patients")
    if left:
        kinds = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in sorted(left.items()))
        log.info(f"left out, neither images nor volumes: {kinds}")


def _tell_end(seen: Listing, rows: Sequence[listing.Row], out: Path, wish: Wish) -> None:
    failed = [row for row in rows if row["status"] == "failed"]
    for row in rows:
        if "score_fault" in row:
            log.warning(f"not scored: {row['score_fault']}")
    bare = sum(row["status"] == "done" and not row.keys() & {"scores", "score_fault"} for row in rows)
    if wish.masks and bare:
        log.warning(f"not scored: {bare} cases have no mask in {wish.masks}")
    log.info(
        f"{len(rows) - len(failed)} of {len(rows)} masks in {out}"
        + (f"; {len(failed)} failed, {out / listing.NAME} says why" if failed else "")
    )
    if wish.masks and "scores" in seen.about:
        means = seen.about["scores"]
        shown = [f"{name} {means[name]:.3f}" for name in ("dice", "precision", "sensitivity")]
        unit = " or ".join(sorted({"mm" if row["spacing_mm"] else "px" for row in rows if "scores" in row}))
        shown += [f"hd95 {means['hd95']:.3f} {unit}", f"nsd at 1 {unit} {means['nsd']:.3f}"]
        log.info(f"{means['cases']} cases scored: {', '.join(shown)}")
