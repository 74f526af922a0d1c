"""What was made from trained networks: each network from plain to smallest, on the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.protocol import SIDES
from bench.report.captions import by_repeat, cautions, origin
from bench.report.cells import RECIPE, by_job, difference, largest_teachers, overall, scores
from bench.report.frames import by_size, score_column
from bench.report.making import Making, making
from bench.report.statistics import over_patients
from bench.report.tables.markup import Table
from bench.report.tables.wording import disturbed, number, sees, spread

MARGIN = 0.01
"""Of Dice, by which a conversion may lose on its source and still be as good."""
VARIED = {"seg_loss": "L_seg", "labels": "labels", "updates_asked": "updates"}
"""Columns that are shown where a study has several."""
ON_ALL = tuple(f"ms, {side}², all threads" for side in SIDES)
PARTS = tuple(f"of it {part}, s" for part in Making._fields)
"""Columns that are not printed on paper."""
RESHAPED = "trained on"
"""Instead of a verdict: other weights than its source's are no matter of non-inferiority on one draw."""


def compression_table(done: pd.DataFrame, cases: pd.DataFrame, latency: pd.DataFrame) -> Table:
    """A row a network and recipe; empty unless a study holds something that was made from a network.

    Args:
        done: the finished jobs of the summary, converted and reshaped ones too.
        cases: a row per job and case, of the part that is shown.
        latency: the measurements.
    """
    made = done[done.source != ""]
    frame = pd.DataFrame()
    if len(made):
        related = done[done.architecture.isin(made.architecture) & done.image_size.isin(made.image_size)]
        rows = _rows(done, related, by_job(cases))
        frame = pd.DataFrame(rows).dropna(axis=1, how="all")
    what = origin(done) if len(done) else ""
    caption = (
        f"What was made from trained networks: {what}. Δ source: Dice points over the network that it was "
        "made from, paired by case, with the interval over patients. As good: the interval of a conversion "
        f"lies above −{100 * MARGIN:.0f} point; networks that were trained on are other networks, of which "
        "one draw says little. Latency: batch 1, p50. Made in: all training and converting of the recipe "
        "and its teacher, and the recording of what that teaches."
        f"{cautions(made) if len(made) else ''}{disturbed(latency)}"
    )
    return Table("compression", caption, frame, wide=("record", *ON_ALL, *PARTS))


def trained_only(frame: pd.DataFrame) -> pd.DataFrame:
    """The jobs that stand on their own: what was made from a network has a table of its own."""
    return frame[frame.source.fillna("") == ""]


def short(table: Table) -> Table:
    """The table with fewer columns, for a terminal."""
    made = [name for name in table.frame.columns if name.startswith(("made in", "of it"))]
    long = ("runtime", "precision", "parameters", "GMACs", "memory, MB", "record", *made)
    large = [name for name in table.frame.columns if "²" in name]
    return Table(table.name, table.caption, table.frame.drop(columns=[*long, *large], errors="ignore"))


def _rows(done: pd.DataFrame, related: pd.DataFrame, cases: pd.DataFrame) -> list[dict[str, Any]]:
    score, part = score_column(done)
    teacher = scores(cases, largest_teachers(done))
    seconds = making(done)
    order = {name: k for k, name in enumerate(by_size(related))}
    rows = []
    groups = related.groupby(RECIPE, sort=False, dropna=False)
    for group in sorted((group for _, group in groups), key=lambda group: _place(order, group.iloc[0])):
        first, ours = group.iloc[0], scores(cases, group.id)
        rows.append(
            {
                "network": first.architecture,
                "recipe": first.recipe,
                "teacher": first.taught_by if related.taught_by.replace("", pd.NA).nunique() > 1 else None,
                **{name: first[of] if related[of].nunique() > 1 else None for of, name in VARIED.items()},
                "sees": sees(group),
                "runtime": first.runtime,
                "precision": first.artefact_precision,
                f"Dice ({part})": spread(by_repeat(group, score)),
                **_drop(ours, scores(cases, [name for name in group.source if name]), first),
                "Δ teacher, points": _points(difference(ours, teacher)),
                "MB": number(first.size_mb, ".3g"),
                "parameters": number(first.parameters, ",.0f"),
                "GMACs": number(first.macs * 1e-9 if not pd.isna(first.macs) else None, ".3g"),
                "ms, 1 thread": number(first.latency_cpu_1_ms_p50, ".3g"),
                "ms, all threads": number(first.latency_cpu_ms_p50, ".3g"),
                **_large(first),
                "memory, MB": number(first.peak_memory_inference_mb, ".3g"),
                **_made(group, seconds),
                "record": " ".join(group.id),
            }
        )
    return rows


def _place(order: dict[str, int], job: pd.Series) -> tuple[Any, ...]:
    """Largest network first, what was trained plainly before the rest, each step after the one before."""
    setting = [str(job[name]) for name in RECIPE if name not in ("architecture", "recipe")]
    return order[job.architecture], *setting, not job.recipe.startswith("baseline"), job.recipe


def _drop(ours: pd.DataFrame, source: pd.DataFrame, first: pd.Series) -> dict[str, Any]:
    """What it has lost of its source, and whether that is little enough."""
    names = ("Δ source, points [95 % CI]", "as good as source")
    paired = difference(ours, source)
    if not paired.size:
        return dict.fromkeys(names)
    verdict = _verdict(*over_patients(paired.mean(axis=1))) if pd.isna(first.train_seconds) else RESHAPED
    return dict(zip(names, (gain_with_interval(paired), verdict), strict=True))


def gain_with_interval(paired: pd.DataFrame) -> str | None:
    """``-0.20 [-0.41, +0.03]``, Dice points; None where there is nothing to compare.

    Args:
        paired: differences, patients × repeats.
    """
    if not paired.size:
        return None
    low, high = over_patients(paired.mean(axis=1))
    text = f"{100 * overall(paired):+.2f}"
    return text if np.isnan(low) else f"{text} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _verdict(low: float, high: float) -> str | None:
    """Non-inferiority of a conversion."""
    if np.isnan(low):
        return None
    return "yes" if low > -MARGIN else "no" if high < -MARGIN else "open"


def _points(paired: pd.DataFrame) -> str | None:
    return f"{100 * overall(paired):+.1f}" if paired.size else None


def _large(first: pd.Series) -> dict[str, Any]:
    """At sides that studies share, on one thread and on all."""
    found: dict[str, Any] = {}
    for side in SIDES:
        alone, every = first[f"latency_cpu_1_ms_{side}"], first[f"latency_cpu_ms_{side}"]
        found[f"ms, {side}², 1 thread"] = number(alone, ".3g")
        found[f"ms, {side}², all threads"] = number(every, ".3g")
        found[f"frames/s, {side}²"] = number(1e3 / alone, ".3g")
    return found


def _made(group: pd.DataFrame, seconds: dict[str, Making]) -> dict[str, Any]:
    """What making the networks took, and of what it is the sum."""
    own = [seconds[name] for name in group.id]
    parts = {
        "made in, s": [one.total for one in own],
        **{f"of it {part}, s": [getattr(one, part) for one in own] for part in Making._fields},
    }
    return {name: number(float(np.mean(values)), ",.0f") for name, values in parts.items()}
