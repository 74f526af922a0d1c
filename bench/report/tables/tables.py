"""The tables of a study, each from the finished jobs, their cases and their comparisons."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import cautions, origin, repeat
from bench.report.cells import NETWORK, Cell, is_plain, network
from bench.report.frames import by_size, usual_cells
from bench.report.method_names import in_order, label
from bench.report.tables.markup import Table
from bench.report.tables.matrix import matrix_table, recipes_table, settings, without_constant
from bench.report.tables.wording import natural, number, spread


def all_tables(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> list[Table]:
    """Every table that does not depend on what was published.

    Args:
        done: the finished jobs of the summary.
        cases: a row per job and case, of the part that is shown.
        compared: ``comparisons`` of the finished jobs.
    """
    return [
        matrix_table(done, cases, compared),
        recipes_table(done, cases, compared),
        cost_table(done),
        classes_table(done, cases),
        patients_table(done, cases),
    ]


def cost_table(done: pd.DataFrame) -> Table:
    """What a trained network cost: its own training, its teacher's, the recording of targets."""
    seconds = done.set_index("id").train_seconds
    recorded = done.recording_seconds.notna().any()
    recording = done.groupby(done.teachers.fillna("")).recording_seconds.max()
    rows: list[dict[str, Any]] = []
    for key, group in done.groupby(list(Cell._fields), sort=False, dropna=False):
        cell = Cell(*key)
        own = group.train_seconds.mean()
        teachers = group.teachers.fillna("")
        teacher = teachers.map(lambda ids: sum(seconds.get(t, float("nan")) for t in ids.split())).mean()
        pass_ = teachers.map(lambda ids: recording.get(ids, float("nan")) if ids else 0.0).mean()
        total = own + teacher + (0 if pd.isna(pass_) else pass_)
        same = (done[list(NETWORK)] == list(network(cell))).all(axis=1)
        plain = done[same & is_plain(done)]
        rows.append(
            {
                **settings(cell, group),
                "training, s": number(own, ",.0f"),
                "teacher's training, s": number(teacher, ",.0f") if teachers.any() else None,
                "recording, s": number(pass_, ",.0f") if teachers.any() else None,
                "together, s": number(total, ",.0f"),
                "against plain": number(total / plain.train_seconds.mean(), ".1f", "×"),
                "peak memory, MB": number(group.peak_memory_train_mb.mean(), ",.0f"),
            }
        )
    missing = "" if recorded else "; these records don't say what recording took, so it is not in the sum"
    caption = (
        f"The cost of training, means over {repeat(done)}s: {origin(done)}. A distilled student also needs "
        f"its teacher trained and its targets recorded, once for all students of a {repeat(done)}; here as "
        f"if it were the only one{missing}. Peak memory: the whole training process.{cautions(done)}"
    )
    return Table("cost", caption, without_constant(pd.DataFrame(rows)))


def classes_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """Dice of every class; empty where there is one class."""
    names = [str(name).removeprefix("dice_") for name in cases.columns if str(name).startswith("dice_")]
    rows: list[dict[str, Any]] = []
    shown = done[usual_cells(done)]
    each = repeat(shown)
    for (architecture, method), group in _main_cases(done, cases):
        patients = group.groupby([*dict.fromkeys((each, "seed")), "patient"])
        means = patients[[f"dice_{name}" for name in names]].mean().groupby(level=each).mean()
        own = {f"Dice, {name}": spread(means[f"dice_{name}"]) for name in names}
        rows.append({"architecture": architecture, "method": method, **own})
    caption = (
        f"Dice of every class: {origin(shown)}. Mean over patients ± sd over {each}s.{cautions(shown)}"
    )
    return Table("classes", caption, pd.DataFrame(rows if names else []))


def patients_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """Dice of every patient: a row per network and patient, a column a method."""
    means = {key: group.groupby("patient").dice.mean() for key, group in _main_cases(done, cases)}
    shown = done[usual_cells(done)]
    methods = in_order(shown.method)
    rows: list[dict[str, Any]] = []
    for name in by_size(shown):
        own = {method: means[name, method] for method in methods if (name, method) in means}
        for patient in sorted(
            {patient for values in own.values() for patient in values.index}, key=natural
        ):
            scores = {label(m): own[m].get(patient) if m in own else None for m in methods}
            rows.append({"network": name, "patient": patient, **scores})
    caption = f"Dice of every patient, mean over cases and seeds: {origin(shown)}.{cautions(shown)}"
    return Table("patients", caption, pd.DataFrame(rows), long=True)


def _main_cases(done: pd.DataFrame, cases: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Cases of the main table's cells, largest network first."""
    shown = done[usual_cells(done)]
    groups = dict(list(cases[cases.id.isin(shown.id)].groupby(["architecture", "method"])))
    order = [(a, m) for a in by_size(shown) for m in in_order(shown.method)]
    return [(key, groups[key]) for key in order if key in groups]
