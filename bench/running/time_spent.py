"""Where the wall time of a matrix went, said when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.running.executors.graph import places
from bench.study.progress import duration

PHASES = (
    *("decoding", "gate", "recording", "reshaping", "training", "validation", "converting", "evaluation"),
    *("profiling", "report"),
)
SOMETIMES = ("reshaping", "converting")
"""Phases that few commands have; they are named where they took time."""


def shares(
    wall: float,
    own: Mapping[str, float],
    records: Iterable[Mapping[str, Any] | None],
    settings: Mapping[str, Any],
) -> str:
    """One line: the shares of ``wall`` seconds by phase.

    ``own`` are this process's phases; those of the jobs that just ran are in their ``records``, and
    as many ran at a time as the study's ``settings`` say. What is in no phase is ``other``: processes that
    start or wait.
    """
    spent = dict(own)
    for record in records:
        if record is None:
            continue
        part = places(record["job"]["threads"], settings) / settings["workers"]
        for phase, seconds in (record.get("cost", {}).get("seconds") or {}).items():
            spent[phase] = spent.get(phase, 0.0) + seconds * part
    spent["other"] = max(0.0, wall - sum(spent.values()))
    named = [p for p in (*PHASES, "other") if p not in SOMETIMES or spent.get(p)]
    parts = [f"{p} {100 * spent.get(p, 0.0) / wall:.1f} %" for p in named]
    return f"{duration(wall)} went to: " + ", ".join(parts)
