"""The study's page: ``index.html``, its numbers in ``page-data.js`` beside it, the rest in ``page/``.

It opens from disk, without a server and without a network. Whatever came from a record or a file's name is
JSON in a script, and becomes text on the page, never markup. Chart.js, bundled, draws the plots.

What is the same in every study is kept from git by a ``.gitignore`` in ``page/``; in a fresh clone of this
repository ``index.html`` finds it here, in the package.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.colors import to_hex

from bench.data.dataset import Dataset
from bench.files.atomic import write_file, write_text
from bench.report.captions import (
    cautions_of_jobs,
    claimable,
    has_folds,
    progress,
    repeats,
    tested,
    unit,
    updates,
)
from bench.report.cells import Cell, cells_of
from bench.report.comparisons import shown_interval
from bench.report.each_job import of_each_job
from bench.report.figures.style import Look, outline_of
from bench.report.frames import by_size, score_column
from bench.report.method_names import in_order
from bench.report.page.pictures import script, write_pictures
from bench.report.tables.compression import trained_only
from bench.report.tables.markup import Table
from bench.report.tables.wording import sees
from bench.study.class_colours import as_hex
from bench.study.store import Study

STATIC = Path(__file__).parent / "static"
SCORES = ("dice", "precision", "sensitivity", "hd95", "nsd")
COSTS = (
    *("parameters", "macs", "size_mb", "latency_cpu_1_ms_p50", "latency_cpu_ms_p50", "latency_gpu_ms_p50"),
    *("peak_memory_inference_mb", "train_seconds", "updates", "dice_drop"),
)
FACTS = (
    *("id", "status", "reason", "architecture", "seg_loss", "teacher", "image_size", "spatial_dims"),
    "seed",
    *("fold", "labels", "teacher_labels", "unlabelled", "updates_asked", "best_epoch", "drawn", "given"),
    "plugin",
    "version",
)


def write_page(
    study: Study,
    dataset: Dataset | None,
    frame: pd.DataFrame,
    cases: pd.DataFrame,
    curves: pd.DataFrame,
    compared: pd.DataFrame,
    beside: Sequence[Table] = (),
) -> Path:
    """Write the page of ``frame``, the scored ``cases`` and ``curves``; returns the path of ``index.html``.

    Args:
        dataset: for the pictures of cases; None leaves those that are there as they are.
        compared: the cells over all folds and seeds, from ``comparisons``.
        beside: tables of this study and others.
    """
    index, folder = study.root / "index.html", study.root / "page"
    for source in sorted(STATIC.iterdir()):
        target = index if source.name == index.name else folder / source.name
        write_file(target, partial(shutil.copyfile, source))
    write_text(folder / ".gitignore", "/*\n!/cases/\n")
    if dataset is not None and len(cases):
        write_pictures(folder / "cases", study, dataset, list(dict.fromkeys(cases.case)))
    content = page_data(study, frame, cases, curves, compared)
    if beside:
        content["beside"] = [_as_text(table) for table in beside]
    write_text(study.root / "page-data.js", f"window.benchStudy = {script(content)};\n")
    return index


def page_data(
    study: Study, frame: pd.DataFrame, cases: pd.DataFrame, curves: pd.DataFrame, compared: pd.DataFrame
) -> dict[str, Any]:
    """What the page's scripts read: the study, one entry a job, the scored cases in one order for all.

    A job's ``over`` holds its differences to its baseline and its teacher, of its own fold and seed;
    ``cells`` those of its cell over all of them, and ``cell`` says where among them.
    """
    _, part = score_column(frame)
    settings = study.settings() or {}
    order = cases[["case", "patient"]].drop_duplicates("case").astype(str)
    known = {str(job_id): own for job_id, own in cases.groupby("id", sort=False)}
    drawn = {str(job_id): own for job_id, own in curves.groupby("id", sort=False)}
    done = trained_only(frame[frame.status == "done"])
    several = frame.runtime.nunique() > 1 or frame.artefact_precision.nunique() > 1
    facts = FACTS + (("runtime", "artefact_precision") if several else ())
    over_seeds = differences(compared)
    if done.seed.nunique() > 1:
        own_seed = {seed: differences(own) for seed, own in of_each_job(done, cases).groupby("seed")}
    else:
        own_seed = dict.fromkeys(done.seed, over_seeds)
    places = {cell: k for k, cell in enumerate(over_seeds)}
    classes = [str(name).removeprefix("dice_") for name in cases.columns if str(name).startswith("dice_")]
    entries = []
    for cell, row in zip(cells_of(frame), frame.to_dict("records"), strict=True):
        entry = {name: _short(row[name]) for name in facts} | job_numbers(row, part, classes)
        entry |= {
            "kind": row["method"],
            "method": row["recipe"] if row["source"] else row["method"] + row["changed"],
            "over": own_seed.get(row["seed"], {}).get(cell) if row["status"] == "done" else None,
            "cell": places.get(cell),
            "sees": sees(pd.DataFrame([row])),
            "changed_after_training": True if row["changed_after_training"] is True else None,
        }
        if row["id"] in known:
            entry |= _of_cases(known[row["id"]], order.case, classes)
        if row["id"] in drawn:
            rows = drawn[row["id"]].sort_values("epoch")
            entry["curve"] = {name: [_short(v) for v in rows[name]] for name in ("seg", "dice_val")}
        entry["pictured"] = (study.root / "page" / "cases" / "jobs" / f"{row['id']}.js").is_file() or None
        entries.append({name: value for name, value in entry.items() if value not in (None, "")})
    record: dict[str, Any] = (study.record(done.id.iloc[0]) or {}) if len(done) else {}
    about = record.get("dataset", {})
    return {
        "dataset": settings.get("dataset") or ", ".join(sorted(set(frame.dataset))),
        "synthetic": bool(settings.get("synthetic", False)),
        "part": part,
        **{name: about.get(name, "") for name in ("note", "licence")},
        **({"odd_data": odd} if (odd := settings.get("warnings")) else {}),
        "pictures": (study.root / "page" / "cases" / "truth.js").is_file(),
        **_looks(frame, classes),
        "volumes": bool((done.spatial_dims == 3).any() or (done.slices != "").any()),
        "cases": order.to_dict("records"),
        "cells": list(over_seeds.values()),
        **_said(frame[frame.status == "done"], compared),
        "jobs": entries,
    }


def _as_text(table: Table) -> dict[str, Any]:
    """A table as the page shows it; an empty text for what is not known."""
    rows = [
        ["" if pd.isna(value) else str(value) for value in row] for row in table.frame.to_numpy().tolist()
    ]
    return {"caption": table.caption, "columns": list(table.frame.columns), "rows": rows}


def _of_cases(own: pd.DataFrame, order: pd.Series, classes: Sequence[str]) -> dict[str, Any]:
    """A job's Dice of every case, in one order for all jobs; where there are several classes, of each."""
    rows = own.set_index(own.case.astype(str)).reindex(order)
    of_classes = [[_short(value) for value in rows[f"dice_{name}"]] for name in classes]
    return {"cases": [_short(value) for value in rows.dice], "classes": of_classes or None}


def _looks(frame: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Colours of methods and classes and signs of networks, in the order in which they are listed."""
    look, networks = Look.of(frame), by_size(frame) if len(frame) else []
    return {
        "methods": [{"name": name, "colour": to_hex(look.colour[name])} for name in in_order(frame.method)],
        "networks": networks,
        "marks": {name: outline_of(look.marker[name]) for name in networks},
        "classes": [{"name": name, "colour": as_hex(k)} for k, name in enumerate(classes, 1)],
    }


def _said(finished: pd.DataFrame, compared: pd.DataFrame) -> dict[str, Any]:
    """What tables say in their captions: folds or seeds, updates, what was claimed and what to mind.

    Updates and what to mind are of all that the page lists, what was made of trained networks, too.
    """
    done = trained_only(finished)
    if not len(done):
        return {"folds": False, "repeats": "", "updates": "", "cautions": "", "unit": "px"}
    return {
        "unit": unit(done),
        "tested": tested(done),
        "progress": progress(done),
        "folds": has_folds(done),
        "repeats": repeats(done),
        "updates": updates(finished),
        "cautions": f"{claimable(compared)}{cautions_of_jobs(finished)}".strip(),
    }


def job_numbers(row: dict[str, Any], part: str, classes: Sequence[str]) -> dict[str, Any]:
    """The scores of ``part`` under their plain names, also those of classes, and the costs."""
    suffix = "_val" if part == "validation" else ""
    scores = {name: _short(row[f"{name}{suffix}"]) for name in SCORES}
    of_class = {f"dice_{name}": _short(row.get(f"dice_{name}{suffix}")) for name in classes}
    return scores | of_class | {name: _short(row[name]) for name in COSTS}


def differences(compared: pd.DataFrame) -> dict[Cell, dict[str, list[Any]]]:
    """By cell and by what it is compared with, in points: difference, both ends of its interval, verdict.

    Last comes the share of the gap that it closes.
    """
    found: dict[Cell, dict[str, list[Any]]] = {}
    for cell, row in zip(cells_of(compared), compared.itertuples(), strict=True):
        points = [_short(100 * value) for value in (row.difference, *shown_interval(row))]
        if points[0] is not None:
            found.setdefault(cell, {})[row.against] = [*points, row.verdict, _short(row.gap_closed)]
    return found


def _short(value: Any) -> Any:
    """A value for JSON: whole numbers as such, others to six digits, NaN to None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return int(value) if value.is_integer() else float(f"{value:.6g}")
    return None if value is pd.NA else value
