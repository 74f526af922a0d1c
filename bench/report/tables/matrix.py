"""The main table, every network and method, and what differs from the default beside it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import (
    CLAIMS,
    GAP,
    averaged,
    by_repeat,
    cautions,
    claimable,
    origin,
    repeat,
    unit,
    unseen_patients,
    updates,
)
from bench.report.cells import Cell, cells_of, groups, of_largest, teacher_ids
from bench.report.comparisons import leaders, of_cells
from bench.report.doubts import patients
from bench.report.frames import score_column
from bench.report.standard import usual_cells
from bench.report.tables.markup import BEST, HARM, UNCLEAR, Table
from bench.report.tables.wording import (
    against_heavy,
    closed,
    disturbed,
    networks,
    number,
    p_value,
    points,
    sees,
    size,
    spread,
    unseen,
)

GAIN, TO_TEACHER = "Δ plain, points [95 % CI]", "Δ teacher, points [95 % CI]"
UNSEEN = "Δ plain, unseen patients"
BEYOND = "beyond its plain twin, points"
GAIN_NETWORKS, TO_TEACHER_NETWORKS = "Δ plain, these networks", "Δ teacher, these networks"
DULL = (
    *(
        "image",
        "sees",
        "L_seg",
        "parameters of the method",
        "teacher",
        "labels",
        "teacher's labels",
        "unlabelled",
    ),
    *("updates", "folds", "seeds", "patients", "code", "processor", "session"),
)
"""Columns that say nothing where all rows agree; the caption has them then."""


def matrix_table(
    done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame, latency: pd.DataFrame
) -> Table:
    """Every network and method with the default recipe: scores, differences, cost."""
    shown = done[usual_cells(done)]
    frame, marks = _cells(shown, done, cases, compared)
    heavy = "the teacher" if teacher_ids(done) else "the largest network"
    caption = f"Every network and method: {origin(shown)}.{_said(shown, compared)}"
    caption += f" In brackets the ratio to {heavy}. Latency: batch 1, fp32."
    if len(latency):
        caption += disturbed(latency[latency.graph.isin(shown.graph)])
    caption += cautions(shown)
    frame = frame.drop(columns="parameters of the method", errors="ignore")
    return Table("matrix", caption, frame, marks, wide=("record", TO_TEACHER_NETWORKS))


def recipes_table(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> Table:
    """What differs from the default: loss variants, weights, L_seg, teachers, sizes, labels, updates."""
    shown = done[~usual_cells(done)]
    frame, marks = _cells(shown, done, cases, compared)
    caption = "Other recipes, each against the plain student of its own L_seg, labels and updates: "
    caption += f"{origin(shown if len(shown) else done)}.{_said(shown, compared)}{cautions(shown)}"
    return Table("recipes", caption, frame, marks, wide=("record", TO_TEACHER_NETWORKS))


def _said(shown: pd.DataFrame, compared: pd.DataFrame) -> str:
    """How the numbers of a table with gains are to be read."""
    own = of_cells(shown, compared)
    gap = f" {GAP}" if own.gap_closed.notna().any() else ""
    read = f" Dice: {averaged(shown)}. {CLAIMS}"
    return f"{read}{claimable(own)}{unseen_patients(own)}{gap}"


def _cells(
    shown: pd.DataFrame, done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame
) -> tuple[pd.DataFrame, dict[tuple[int, str], str]]:
    """A row a cell, and its marks."""
    score, part = score_column(done)
    best, heavy = leaders(shown, cases[cases.id.isin(shown.id)]), heaviest(done)
    rows_of = zip(cells_of(compared), compared.itertuples(index=False), strict=True)
    found = {(cell, row.against): row for cell, row in rows_of}
    dice = f"Dice ({part})"
    rows: list[dict[str, Any]] = []
    marks: dict[tuple[int, str], str] = {}
    for line, (cell, group) in enumerate(groups(shown)):
        plain, teacher = found.get((cell, "baseline")), found.get((cell, "teacher"))
        row = {**settings(cell, group), dice: spread(by_repeat(group, score))}
        row |= _differences(plain, teacher, repeat(shown))
        row[f"HD95, {unit(done)}"] = number(
            group["hd95_val" if part == "validation" else "hd95"].mean(), ".1f"
        )
        rows.append({**row, **_costs(group.iloc[0], heavy), "record": " ".join(group.id)})
        if plain is not None:
            marks |= {(line, name): mark(plain.verdict) for name in (GAIN, "claim")}
        if teacher is not None and teacher.verdict not in ("as good", "worse"):
            marks |= {(line, name): UNCLEAR for name in (TO_TEACHER, "as good as teacher")}
        if cell in best:
            marks[line, dice] = BEST
    return without_constant(pd.DataFrame(rows)), {key: mark for key, mark in marks.items() if mark}


def settings(cell: Cell, group: pd.DataFrame) -> dict[str, Any]:
    """The first columns of a row: what the cell is."""
    folds, versions = group.fold.nunique(), group.version.dropna()
    return {
        "architecture": cell.network,
        "method": cell.method,
        "image": size(group),
        "sees": sees(group),
        "L_seg": cell.seg_loss,
        "parameters of the method": cell.method_parameters,
        "teacher": cell.teacher,
        "labels": " drawn ".join(filter(None, (cell.labels, cell.drawn))),
        "teacher's labels": cell.teacher_labels,
        "unlabelled": cell.unlabelled,
        "updates": updates(group) or None,
        "folds": str(folds) if folds else None,
        "seeds": None if folds else str(group.seed.nunique()),
        "patients": str(patients(group)),
        "code": " ".join(sorted(set(versions))) or None,
    }


def _differences(plain: Any, teacher: Any, repeat: str) -> dict[str, Any]:
    """A cell's columns of what it is compared with."""
    return {
        GAIN: points(plain),
        GAIN_NETWORKS: networks(plain),
        UNSEEN: None if plain is None else unseen(plain),
        "gap closed": closed(plain),
        BEYOND: None if plain is None else number(100 * plain.beyond_twin, "+.1f"),
        f"sd over {repeat}s": None if plain is None else number(100 * plain.sd, ".1f"),
        "p (Holm)": None if plain is None else p_value(plain.p_holm),
        "claim": None if plain is None else plain.verdict,
        TO_TEACHER: points(teacher),
        TO_TEACHER_NETWORKS: networks(teacher),
        "as good as teacher": None if teacher is None else _yes(teacher.verdict),
    }


def _costs(first: pd.Series, heavy: pd.Series) -> dict[str, Any]:
    """What a cell's network costs to run, beside the heavy one's."""
    columns = {
        "parameters": ("parameters", ",.0f", 1.0),
        "GMACs": ("macs", ".3g", 1e-9),
        "MB": ("size_mb", ".3g", 1.0),
        "CPU ms, p50": ("latency_cpu_ms_p50", ".3g", 1.0),
        "GPU ms, p50": ("latency_gpu_ms_p50", ".3g", 1.0),
        "memory, MB": ("peak_memory_inference_mb", ".3g", 1.0),
    }
    return {
        name: against_heavy(first[key], heavy[key], how, unit) for name, (key, how, unit) in columns.items()
    }


def heaviest(done: pd.DataFrame) -> pd.Series:
    """The job whose cost the others are compared with: the largest teacher, else the largest network."""
    teaching = done[done.id.isin(teacher_ids(done))]
    return of_largest(teaching if len(teaching) else done).iloc[-1]


def without_constant(table: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that say nothing: what is the same in all rows, or nowhere known."""
    dull = [name for name in DULL if name in table and table[name].replace("", pd.NA).nunique() <= 1]
    empty = [name for name in table.columns if table[name].isna().all()]
    return table.drop(columns=[*dull, *(name for name in empty if name not in dull)])


def mark(verdict: str) -> str:
    """How what a verdict is of is marked."""
    return {"gain": "", "harm": HARM}.get(verdict, UNCLEAR)


def _yes(verdict: str) -> str:
    return {"as good": "yes", "worse": "no"}.get(verdict, verdict)
