"""The model card of a bundle: what the network is, how well it did on whom, and what it is not for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.data.teacher_saw import UNKNOWN
from bench.report import frames
from bench.report.captions import counted
from bench.report.comparisons import levels
from bench.report.tables.false_alarms import false_alarms_table
from bench.report.tables.markup import Table, escape_markdown, markdown
from bench.report.tables.wording import disturbed, number
from bench.study.store import Study
from bench.using.preprocessing import Preprocessing

WORST = 10
"""Cases that the card lists."""
FAILED = 0.5
"""Dice below which a case counts as failed."""
WARNING = "Research only. Not a medical device."
NOT_FOR = (
    "diagnosis, planning or guidance of any treatment: nobody has shown that it is safe for that, and no "
    "authority has cleared it;",
    "images of another kind than it was trained on (organ, modality, protocol, scanner, species, age); how "
    "it does there is unknown until it is measured there: `predict --masks` does that;",
    "any use in which nobody who can read such images looks at every mask.",
)


@dataclass(frozen=True)
class Story:
    """What a card tells.

    Attributes:
        study: where the network, or its recipe, was scored.
        ids: the jobs whose scores stand in the card: the network's own, or all repeats of its recipe.
        record: of the network's job.
        made_for: what happens to an image.
        network: as ``inference.json`` has it.
        doubts: what is to be said beside, a sentence each.
        refit: the scores are the recipe's: this very network was trained on all patients and has none.
        names: whether cases are named; else they are numbered.
    """

    study: Study
    ids: Sequence[str]
    record: dict[str, Any]
    made_for: Preprocessing
    network: dict[str, Any]
    label: str
    doubts: Sequence[str] = ()
    refit: bool = False
    names: bool = False


def card(story: Story) -> str:
    """The card, in Markdown."""
    summary = frames.summary(story.study)
    done = summary[summary.id.isin(story.ids) & (summary.status == "done")]
    parts = _parts(story)
    shown = "test" if "test" in parts else "validation"
    sections = [
        _head(story, done),
        _data(story),
        "## Scores\n\n" + markdown(_scores(story, done, parts)),
        f"## Failures\n\n{_failures(story, parts[shown], shown)}",
    ]
    alarms = false_alarms_table(done, parts[shown])
    if len(alarms.frame):
        sections.append("## Where there is nothing to find\n\n" + markdown(alarms))
    sections += [
        "## What it costs\n\n" + markdown(_costs(story, done)),
        "## What it must not be used for\n\n" + "\n".join(f"- {line}" for line in NOT_FOR),
        _use(story),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def mean_dice(story: Story) -> dict[str, float]:
    """The mean Dice over patients, by part of the split."""
    means = {name: cases.groupby("patient").dice.mean() for name, cases in _parts(story).items()}
    return {name: round(float(values.mean()), 6) for name, values in means.items()}


def _parts(story: Story) -> dict[str, pd.DataFrame]:
    """Cases of each part that was scored."""
    names = {"test": "test", "val": "validation"}
    found = frames.cases_by_part(story.study).items()
    own = {names[part]: rows[rows.id.isin(story.ids)] for part, rows in found}
    return {name: rows for name, rows in own.items() if len(rows)}


def _head(story: Story, done: pd.DataFrame) -> str:
    own, first = story.network, done.iloc[0]
    classes = ", ".join(map(escape_markdown, story.made_for.classes))
    lines = [
        f"# {escape_markdown(story.label)}",
        f"**{WARNING}** It marks {classes} in {story.made_for.wanted}.",
    ]
    if story.record["dataset"]["synthetic"]:
        lines.append("**Trained on synthetic images: its masks mean nothing for patients.**")
    count = number(own["parameters"], ",.0f") or "an unknown number of"
    study = story.study
    trained = study.trained(study.job(story.ids[0]))  # what was made of it has no teachers of its own
    taught = ", ".join(f"`{study.job(name).architecture}`" for name in trained.teachers)
    taught = taught or ("given maps" if trained.maps else "")
    teacher = f"; its teacher is {taught}" if taught else ""
    if taught and (study.settings() or {}).get("teacher_saw") == UNKNOWN:
        teacher += ", and nobody knows which patients that has seen"
    lines.append(
        f"`{own['architecture']}`, {count} parameters, made by the recipe `{first.recipe}`{teacher}; it "
        f"runs in {own['runtime']}, {own['precision']}."
    )
    return "\n\n".join([*lines, *story.doubts])


def _data(story: Story) -> str:
    about = story.record["dataset"]
    job, origin = story.record["job"], story.record.get("provenance", {})
    what = [f"Dataset: {escape_markdown(about.get('note') or job['dataset'])}."]
    what.append(f"Licence of the data: {escape_markdown(about.get('licence') or 'not stated')}.")
    cases = f", {counted(about['train_cases'], 'case')}" if "train_cases" in about else ""
    what.append(f"Trained on {counted(about['train_patients'], 'patient')}{cases}.")
    what.append(
        f"Code: lightseg-bench {origin.get('version') or ''} {origin.get('commit') or ''}".rstrip() + "."
    )
    return "## Data\n\n" + "\n".join(f"- {line}" for line in what)


def _scores(story: Story, done: pd.DataFrame, parts: dict[str, pd.DataFrame]) -> Table:
    rows = []
    for part, cases in parts.items():
        level = levels(done, cases).iloc[0]
        suffix = "" if part == "test" else "_val"
        interval = "" if np.isnan(level.low) else f" [{level.low:.3f}, {level.high:.3f}]"
        rows.append(
            {
                "part": part,
                "patients": cases.patient.nunique(),
                "cases": cases.case.nunique(),
                "Dice [95 % interval]": f"{level.dice:.3f}{interval}",
                **{
                    label: number(done[f"{name}{suffix}"].mean(), ".3f")
                    for label, name in (("precision", "precision"), ("sensitivity", "sensitivity"))
                },
                f"HD95, {done.distance_unit.iloc[0]}": number(done[f"hd95{suffix}"].mean(), ".1f"),
                f"NSD at 1 {done.distance_unit.iloc[0]}": number(done[f"nsd{suffix}"].mean(), ".3f"),
            }
        )
    whose = "of this network"
    if story.refit:
        whose = (
            f"of the recipe, cross-validated over {counted(len(story.ids), 'network')}; this very network "
            "was trained on all patients, so nobody is left to score it on"
        )
    caption = (
        f"Scores {whose}: means over patients, the interval for new patients like these. Validation "
        "patients chose the epoch, and maybe the network: only test scores are free of that."
    )
    return Table("scores", caption, pd.DataFrame(rows))


def _failures(story: Story, cases: pd.DataFrame, part: str) -> str:
    if "organ_size" in cases:  # what is found where there is no organ has a section of its own
        cases = cases[cases.organ_size != 0]
    known = cases.dropna(subset=["dice"]).sort_values("dice", kind="stable")
    low, none = int((known.dice < FAILED).sum()), int((known.dice == 0).sum())
    text = (
        f"Of {counted(len(known), f'{part} case')}, {low} have a Dice below {FAILED:g}, and in {none} of "
        "them the organ was missed altogether."
    )
    worst = known.head(WORST)
    if not len(worst):
        return text
    frame = pd.DataFrame({"case": worst.case if story.names else range(1, len(worst) + 1)})
    columns = {"size, pixels": ("organ_size", ",.0f"), "Dice": ("dice", ".3f")}
    columns |= {name: (name, ".3f") for name in ("precision", "sensitivity")}
    columns |= {f"HD95, {worst.distance_unit.iloc[0]}": ("hd95", ".1f")}
    for label, (name, how) in columns.items():
        if name in worst:
            frame[label] = [number(value, how) for value in worst[name]]
    caption = "The worst cases" + ("" if story.names else "; --name-cases says which they are")
    return f"{text}\n\n{markdown(Table('failures', f'{caption}.', frame))}"


def _costs(story: Story, done: pd.DataFrame) -> Table:
    timed, rows = frames.latency(story.study), []
    own = timed[timed.graph == done.graph.iloc[0]] if len(timed) else timed
    for row in own.to_dict("records"):
        rows.append(
            {
                "input": row["shape"],
                "on": row["processor"],
                "threads": row["threads"],
                "ms, p50": number(row["latency_ms_p50"], ".3g"),
                "ms, p95": number(row["latency_ms_p95"], ".3g"),
                "memory, MB": number(row.get("peak_memory_mb"), ".3g"),
            }
        )
    what = "the study's artefact, before it was exported" if rows else "nothing was measured"
    caption = f"Batch 1, without reading and resizing; {what}.{disturbed(own)}"
    return Table("costs", caption, pd.DataFrame(rows))


def _use(story: Story) -> str:
    how, runtime = story.made_for, story.network["runtime"]
    reader = "nibabel" if how.of_volumes else "pillow"
    files = "scan.nii.gz" if how.of_volumes else "image.png"
    versions = story.network["versions"]
    pin = f"{runtime}=={versions[runtime]}" if runtime in versions else runtime
    return (
        "## Use\n\n```\n"
        f"pip install numpy {reader} {pin}\npython predict.py {files} -o masks\n```\n\n"
        "`configs/inference.json` says what happens to an image before and after the network; "
        "`predict.py` and `scripts/` do it, in three hundred lines at most to read or to port."
    )
