"""``choose``: what it prints, in words, as a table and as JSON."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.files.atomic import plain
from bench.report import frames
from bench.report.captions import counted
from bench.report.tables.markup import Table
from bench.report.tables.terminal import as_text
from bench.report.tables.wording import disturbed, number
from bench.study.store import Study, not_here
from bench.using.choosing import Against, Candidate, Choice, candidates, choose, within_limits
from bench.using.here import seen_here
from bench.using.wishes import Limits

log = logging.getLogger(__name__)

SHOWN = 8
"""Runners-up in the table."""


def choose_of(study: Study, limits: Limits) -> Choice:
    """The study's best network within the limits.

    Raises:
        UserError: ``within`` without a teacher, or ``here`` without the networks or the data.
    """
    summary, cases = frames.summary(study), frames.cases(study, "val")
    faults: dict[str, str] = {}
    if limits.here:
        seen = seen_here(study, summary, cases, limits)
        summary, cases, latency, faults = seen.summary, seen.cases, seen.latency, seen.faults
    else:
        latency = frames.latency(study)
    found = [
        replace(one, fault=faults.get(one.id, "")) for one in candidates(summary, cases, latency, limits)
    ]
    if len(latency):  # of those alone that were held against the limits
        counts = (latency.device == "cpu") & (latency.threads == limits.threads)
        latency = latency[counts & latency.graph.isin(summary.graph)]
    choice = choose(within_limits(found, summary, cases, limits))
    return replace(choice, disturbed=disturbed(latency).strip())


def tell(study: Study, choice: Choice, limits: Limits) -> str:
    """What is printed."""
    return (
        json.dumps(plain(as_dict(study, choice, limits)), indent=1)
        if limits.json
        else _words(study, choice, limits)
    )


def as_dict(study: Study, choice: Choice, limits: Limits) -> dict[str, Any]:
    """The answer for programs."""
    asked = {name: value for name, value in vars(limits).items() if name not in ("json", "plugin", "data")}
    return {
        "limits": asked,
        "doubts": _doubts(choice),
        "answer": None if choice.best is None else _facts(study, choice.best),
        "runners_up": [
            {
                **_facts(study, other.candidate),
                "behind": other.difference,
                "low": other.low,
                "high": other.high,
                "verdict": other.verdict,
            }
            for other in choice.others
        ],
        "left_out": [{"id": one.id, "name": one.name, "why": one.fault} for one in choice.left_out],
    }


def _facts(study: Study, one: Candidate) -> dict[str, Any]:
    first = one.jobs.iloc[0]
    return {
        "id": one.id,
        "name": one.name,
        "repeats": len(one.jobs),
        "runtime": first.runtime,
        "precision": first.artefact_precision,
        "dice_val": one.dice,
        "dice_test": one.test,
        "ms": one.ms,
        "size_mb": one.mb,
        "memory_mb": one.memory_mb,
        "parameters": None if pd.isna(first.parameters) else int(first.parameters),
        "weights_here": study.has_weights(one.id),
    }


def _words(study: Study, choice: Choice, limits: Limits) -> str:
    best = choice.best
    if best is None:
        lines = [f"{study.root}: no network keeps to these limits; the nearest:"]
        near = sorted(choice.left_out, key=lambda one: -one.dice)[:SHOWN]
        lines += [f"  {one.name}, Dice {one.dice:.3f}: {one.fault}" for one in near]
        return "\n".join([*lines, *_doubts(choice)])
    lines = [f"{best.name}  ({best.id})", "", _sentence(best, limits), *_doubts(choice)]
    if choice.others:
        lines.append(as_text(_table(choice, limits)))
    out = len(choice.left_out)
    if out:
        lines.append(f"{counted(out, 'candidate')} left out; --json says why each.")
    if study.has_weights(best.id):
        lines.append(f"python run_bench.py export {study.root} {best.id} -o FOLDER")
    else:
        lines.append(not_here(study, "weights", best.id))
    return "\n".join(lines)


def _sentence(best: Candidate, limits: Limits) -> str:
    """What the answer scores and costs."""
    count = len(best.jobs)
    repeats = f", mean of {counted(count, 'repeat')}" if count > 1 else ""
    test = f"{best.test:.3f} on test" if not np.isnan(best.test) else "not scored on test"
    costs = [
        text
        for text in (
            number(best.ms, ".3g", after=f" ms on {counted(limits.threads, 'thread')}"),
            number(best.mb, ".3g", after=" MB of file"),
            number(best.memory_mb, ".3g", after=" MB of memory"),
        )
        if text
    ]
    where = " (measured here, now)" if limits.here else ""
    cost = f"It takes {', '.join(costs)}{where}." if costs else "What it costs was not measured."
    more = ""
    if count > 1:
        more = " Of its repeats the best on validation is named."
        if best.jobs.fold.notna().all():
            more += " After folds one ships --refit: trained once more, on all patients."
    return f"Dice {best.dice:.3f} on validation, by which it was chosen{repeats}; {test}. {cost}{more}"


def _doubts(choice: Choice) -> list[str]:
    """When the data can't tell it from others, and what is wrong with what it was told by."""
    alike = [one for one in choice.others if one.verdict == "alike"]
    unknown = [one for one in choice.others if one.verdict == "open"]
    lines = []
    if alike:
        text = f"{counted(len(alike), 'other')} can't be told apart from it on these patients"
        fastest = _fastest(choice, alike)
        lines.append(f"{text}{f'; the fastest of them is {fastest}' if fastest else ''}.")
    if unknown:
        lines.append("There are too few patients to tell it from the others: take it for a guess.")
    short = sum(one.short for one in choice.left_out)
    if short:
        lines.append(
            f"The study is not finished: {counted(short, 'candidate')} {'lacks' if short == 1 else 'lack'} "
            "folds that others have, so nothing compares them."
        )
    if choice.disturbed:
        lines.append(choice.disturbed)
    return lines


def _fastest(choice: Choice, alike: list[Against]) -> str:
    """The name of one that is faster than the answer."""
    timed = [one.candidate for one in alike if one.candidate.ms is not None]
    if choice.best is None or choice.best.ms is None or not timed:
        return ""
    one = min(timed, key=lambda one: one.ms or np.inf)
    return f"{one.name} ({one.id}), {one.ms:.3g} ms" if (one.ms or np.inf) < choice.best.ms else ""


def _table(choice: Choice, limits: Limits) -> Table:
    rows = []
    for other in choice.others[:SHOWN]:
        one, bounds = other.candidate, ""
        if not np.isnan(other.low):
            bounds = f" [{100 * -other.high:+.1f}, {100 * -other.low:+.1f}]"
        rows.append(
            {
                "network": one.jobs.architecture.iloc[0],
                "method": one.jobs.recipe.iloc[0],
                "id": one.id,
                "Dice (val)": number(one.dice, ".3f"),
                "Dice (test)": number(one.test, ".3f"),
                "points to it [95 %]": f"{-100 * other.difference:+.1f}{bounds}",
                "ms": number(one.ms, ".3g"),
                "MB": number(one.mb, ".3g"),
                "than it": other.verdict,
            }
        )
    caption = (
        "Runners-up, best on validation first. Points to it: validation Dice less the answer's, paired by "
        f"patient. ms: on {counted(limits.threads, 'thread')}."
    )
    return Table("choice", caption, pd.DataFrame(rows).dropna(axis=1, how="all"))
