"""The tables of a study, each from the finished jobs, their cases and their comparisons."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.comparisons import Cell, leaders
from bench.report.frames import by_size, score_column, standard
from bench.report.method_names import in_order, label
from bench.report.statistics import MARGIN, MIN_PATIENTS, MIN_SEEDS
from bench.report.tables.markup import BEST, HARM, UNCLEAR, Table
from bench.report.tables.wording import against_heavy, natural, number, p_value, points, spread

GAIN, TO_TEACHER = "Δ plain, points [95 % CI]", "Δ teacher, points [95 % CI]"
CLAIMS = (
    "Δ plain: Dice points over the same student trained plainly, paired by patient and seed; Δ teacher: "
    "over the teacher of the same seed. Intervals: BCa bootstrap over patients, for new patients given "
    "these networks. A claim needs Holm's p below 0.05 (Wilcoxon's signed-rank test over patients), an "
    f"interval without zero and the same sign in every seed, with {MIN_SEEDS} seeds and {MIN_PATIENTS} "
    f"patients at least; as good as the teacher: an interval above −{100 * MARGIN:.0f} points."
)


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


def origin(frame: pd.DataFrame) -> str:
    """What every caption must say: which data, which part, how many seeds of it."""
    _, part = score_column(frame)
    synthetic = "synthetic data, " if frame.synthetic.fillna(False).any() else ""
    seeds = frame.seed.nunique()
    seen = sorted(set(zip(frame.image_size, frame.spatial_dims, strict=True)))
    sizes = " and ".join(f"{size}{'²' if dims == 2 else '³'}" for size, dims in seen)
    names = ", ".join(sorted(frame.dataset.unique()))
    return f"{names} ({synthetic}{sizes}), {part} scores, {seeds} seed{'s' if seeds > 1 else ''}"


def usual_cells(done: pd.DataFrame) -> pd.Series:
    """Which jobs the main table and the figures compare: default parameters and recipe."""
    return done.id.isin(standard(done[done.seg_loss == "dice-bce"]).id)


def matrix_table(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> Table:
    """Every network and method with the default recipe: scores, differences, cost."""
    table = _cells(done[usual_cells(done)], done, cases, compared)
    frame, marks = table[0].drop(columns="parameters of the method", errors="ignore"), table[1]
    heavy = "the teacher" if done.teachers.fillna("").any() else "the largest network"
    caption = (
        f"Every network and method: {origin(done)}. Dice: mean over patients ± sd over seeds. {CLAIMS} "
        f"In brackets the ratio to {heavy}. Latency: batch 1, fp32."
    )
    return Table("matrix", caption, frame, marks, wide=("record",))


def recipes_table(done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame) -> Table:
    """What differs from the default: loss variants, weights, L_seg, teachers, image sizes."""
    table = _cells(done[~usual_cells(done)], done, cases, compared)
    caption = (
        f"Other recipes, each against the plain student of its own L_seg: {origin(done)}. {CLAIMS} "
        "Variants and L_seg are families of their own."
    )
    return Table("recipes", caption, *table, wide=("record",))


def _cells(
    shown: pd.DataFrame, done: pd.DataFrame, cases: pd.DataFrame, compared: pd.DataFrame
) -> tuple[pd.DataFrame, dict[tuple[int, str], str]]:
    """A row a cell, and its marks."""
    score, part = score_column(done)
    heavy = _heavy(done)
    best = leaders(shown, cases)
    found = {
        (Cell(*row[: len(Cell._fields)]), row.against): row for row in compared.itertuples(index=False)
    }
    dice = f"Dice ({part})"
    rows: list[dict[str, Any]] = []
    marks: dict[tuple[int, str], str] = {}
    for line, (key, group) in enumerate(shown.groupby(list(Cell._fields), sort=False, dropna=False)):
        cell, first = Cell(*key), group.iloc[0]
        plain, teacher = found.get((cell, "baseline")), found.get((cell, "teacher"))
        rows.append(
            {
                "architecture": cell.architecture,
                "method": cell.method,
                "image": f"{cell.image_size}{'²' if group.spatial_dims.iloc[0] == 2 else '³'}",
                "L_seg": cell.seg_loss,
                "parameters of the method": cell.method_parameters,
                "teacher": cell.teacher,
                dice: spread(group[score]),
                GAIN: points(plain),
                "sd over seeds": None if plain is None else number(100 * plain.sd_seeds, ".1f"),
                "p (Holm)": None if plain is None else p_value(plain.p_holm),
                "claim": None if plain is None else plain.verdict,
                TO_TEACHER: points(teacher),
                "as good as teacher": None if teacher is None else _yes(teacher.verdict),
                "HD95": number(group["hd95_val" if part == "validation" else "hd95"].mean(), ".1f"),
                "parameters": against_heavy(first.parameters, heavy.parameters, ",.0f"),
                "GMACs": against_heavy(first.macs, heavy.macs, ".3g", 1e-9),
                "MB": against_heavy(first.size_mb, heavy.size_mb, ".3g"),
                "CPU ms, p50": against_heavy(first.latency_cpu_ms_p50, heavy.latency_cpu_ms_p50, ".3g"),
                "GPU ms, p50": against_heavy(first.latency_gpu_ms_p50, heavy.latency_gpu_ms_p50, ".3g"),
                "memory, MB": against_heavy(
                    first.peak_memory_inference_mb, heavy.peak_memory_inference_mb, ".3g"
                ),
                "record": " ".join(group.id),
            }
        )
        if plain is not None:
            marks |= {(line, name): mark(plain.verdict) for name in (GAIN, "claim")}
        if teacher is not None and teacher.verdict not in ("as good", "worse"):
            marks |= {(line, name): UNCLEAR for name in (TO_TEACHER, "as good as teacher")}
        if cell in best:
            marks[line, dice] = BEST
    return _without_constant(pd.DataFrame(rows)), {key: mark for key, mark in marks.items() if mark}


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
        plain = done[
            (done[list(Cell._fields[:4])] == list(cell[:4])).all(axis=1) & (done.method == "baseline")
        ]
        rows.append(
            {
                "architecture": cell.architecture,
                "method": cell.method,
                "image": f"{cell.image_size}{'²' if group.spatial_dims.iloc[0] == 2 else '³'}",
                "L_seg": cell.seg_loss,
                "parameters of the method": cell.method_parameters,
                "teacher": cell.teacher,
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
        f"The cost of training, means over seeds: {origin(done)}. A distilled student also needs its "
        "teacher trained and its targets recorded, once for all students of a seed; here as if it were the "
        f"only one{missing}. Peak memory: the whole training process."
    )
    return Table("cost", caption, _without_constant(pd.DataFrame(rows)))


def classes_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """Dice of every class; empty where there is one class."""
    names = [str(name).removeprefix("dice_") for name in cases.columns if str(name).startswith("dice_")]
    rows: list[dict[str, Any]] = []
    for (architecture, method), group in _main_cases(done, cases):
        patients = group.groupby(["seed", "patient"])[[f"dice_{name}" for name in names]].mean()
        means = patients.groupby("seed").mean()
        own = {f"Dice, {name}": spread(means[f"dice_{name}"]) for name in names}
        rows.append({"architecture": architecture, "method": method, **own})
    caption = f"Dice of every class: {origin(done)}. Mean over patients ± sd over seeds."
    return Table("classes", caption, pd.DataFrame(rows if names else []))


def patients_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """Dice of every patient: a row per network and patient, a column a method."""
    means = {key: group.groupby("patient").dice.mean() for key, group in _main_cases(done, cases)}
    shown = done[usual_cells(done)]
    methods = in_order(shown.method)
    rows: list[dict[str, Any]] = []
    for network in by_size(shown):
        own = {method: means[network, method] for method in methods if (network, method) in means}
        for patient in sorted(
            {patient for values in own.values() for patient in values.index}, key=natural
        ):
            scores = {label(m): own[m].get(patient) if m in own else None for m in methods}
            rows.append({"network": network, "patient": patient, **scores})
    caption = f"Dice of every patient, mean over cases and seeds: {origin(done)}."
    return Table("patients", caption, pd.DataFrame(rows), long=True)


def _main_cases(done: pd.DataFrame, cases: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """Cases of the main table's cells, largest network first."""
    shown = done[usual_cells(done)]
    groups = dict(list(cases[cases.id.isin(shown.id)].groupby(["architecture", "method"])))
    order = [(a, m) for a in by_size(shown) for m in in_order(shown.method)]
    return [(key, groups[key]) for key in order if key in groups]


def _heavy(done: pd.DataFrame) -> pd.Series:
    """The job whose cost the others are compared with: the largest teacher, else the largest network."""
    teaching = {name for names in done.teachers.fillna("") for name in names.split()}
    own = done[done.id.isin(teaching)] if done.id.isin(teaching).any() else done
    return own.sort_values("parameters", kind="stable", na_position="first").iloc[-1]


def _without_constant(table: pd.DataFrame) -> pd.DataFrame:
    """Without the columns that say nothing: what is the same in all rows, or nowhere known."""
    settings = ("image", "L_seg", "parameters of the method", "teacher")
    dull = [name for name in settings if name in table and table[name].replace("", pd.NA).nunique() <= 1]
    empty = [name for name in table.columns if table[name].isna().all()]
    return table.drop(columns=[*dull, *(name for name in empty if name not in dull)])


def mark(verdict: str) -> str:
    """How what a verdict is of is marked."""
    return {"gain": "", "harm": HARM}.get(verdict, UNCLEAR)


def _yes(verdict: str) -> str:
    return {"as good": "yes", "worse": "no"}.get(verdict, verdict)
