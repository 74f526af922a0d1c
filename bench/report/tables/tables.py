"""The tables of a study, each from the finished jobs, their cases and their comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.report.captions import averaged, cautions, origin, repeat, updates
from bench.report.cells import NETWORK, groups, is_plain, network
from bench.report.frames import by_size
from bench.report.making import recording
from bench.report.method_names import in_order, label
from bench.report.standard import sets
from bench.report.tables.false_alarms import false_alarms_table
from bench.report.tables.markup import Table
from bench.report.tables.matrix import matrix_table, recipes_table, settings, without_constant
from bench.report.tables.wording import natural, number, sees, spread


def all_tables(
    done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame, latency: pd.DataFrame
) -> list[Table]:
    """Every table that does not depend on what was published.

    Args:
        done: the finished jobs of the summary.
        cases: a row per job and case, of the part that is shown.
        compared: ``comparisons`` of the finished jobs.
        latency: a row a measurement.
    """
    return [
        matrix_table(done, cases, compared, latency),
        recipes_table(done, cases, compared),
        cost_table(done),
        classes_table(done, cases),
        false_alarms_table(done, cases),
        patients_table(done, cases),
    ]


def cost_table(done: pd.DataFrame) -> Table:
    """What a trained network cost: its own training, its teacher's, the recording of targets."""
    seconds = done.set_index("id").train_seconds
    recorded = recording(done)
    rows: list[dict[str, Any]] = []
    for cell, group in groups(done):
        own = group.train_seconds.mean()
        teachers = group.teachers.fillna("")
        teacher = teachers.map(lambda ids: sum(seconds.get(t, float("nan")) for t in ids.split())).mean()
        pass_ = teachers.map(lambda ids: recorded.get(ids, float("nan")) if ids else 0.0).mean()
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
    missing = (
        ""
        if recorded.notna().any()
        else "; these records don't say what recording took, so it is not in the sum"
    )
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
    shown = sets(done)
    about = _all(shown)
    each = repeat(about)
    for own in shown.values():
        for (architecture, method), group in _cases_of(own, cases):
            patients = group.groupby([*dict.fromkeys((each, "seed")), "patient"])
            means = patients[[f"dice_{name}" for name in names]].mean().groupby(level=each).mean()
            scored = {f"Dice, {name}": spread(means[f"dice_{name}"]) for name in names}
            rows.append({"architecture": architecture, "method": method, **_which(own), **scored})
    caption = f"Dice of every class: {origin(about)}. {averaged(about).capitalize()}.{cautions(about)}"
    return Table("classes", caption, without_constant(pd.DataFrame(rows if names else [])))


def patients_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """Dice of every patient: a row per network and patient, a column a method."""
    shown = sets(done)
    about = _all(shown)
    methods = in_order(about.method)
    rows: list[dict[str, Any]] = []
    for own in shown.values():
        means = {key: group.groupby("patient").dice.mean() for key, group in _cases_of(own, cases)}
        for name in by_size(own):
            of_methods = {method: means[name, method] for method in methods if (name, method) in means}
            patients = {patient for values in of_methods.values() for patient in values.index}
            for patient in sorted(patients, key=natural):
                scores = {
                    label(m): of_methods[m].get(patient) if m in of_methods else None for m in methods
                }
                rows.append({"network": name, **_which(own), "patient": patient, **scores})
    caption = f"Dice of every patient, mean over cases and seeds: {origin(about)}.{cautions(about)}"
    return Table("patients", caption, without_constant(pd.DataFrame(rows)), long=True)


def _all(shown: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The jobs of several sets."""
    return pd.concat(shown.values())


def _which(own: pd.DataFrame) -> dict[str, Any]:
    """What tells the jobs of a set from those of the others."""
    return {"L_seg": own.seg_loss.iloc[0], "sees": sees(own), "updates": updates(own)}


def _cases_of(own: pd.DataFrame, cases: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Cases of the jobs of a set by network and method, largest network first."""
    groups = dict(list(cases[cases.id.isin(own.id)].groupby(["architecture", "method"])))
    order = [(a, m) for a in by_size(own) for m in in_order(own.method)]
    return [(key, groups[key]) for key in order if key in groups]
