"""The report's own table, its figures beside ours."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.frames import by_size, score_column
from bench.report.published.numbers import CAVEAT, DISTILLED, REPORT
from bench.report.tables.markup import Table
from bench.report.tables.tables import mark, origin, usual_cells
from bench.report.tables.wording import points


def report_table(done: pd.DataFrame, compared: pd.DataFrame) -> Table:
    """The report's own table, its figures beside ours; empty unless one of its networks was run."""
    score, part = score_column(done)
    ours = done[usual_cells(done)]
    dice = ours.groupby(["architecture", "method"])[score].mean()
    own = compared[compared.standard.astype(bool) & (compared.seg_loss == "dice-bce")]
    own = own[(own.against == "baseline") & (own.method == DISTILLED)].drop_duplicates("architecture")
    gains = {row.architecture: row for row in own.itertuples()}
    rows: list[dict[str, Any]] = []
    marks: dict[tuple[int, str], str] = {}
    for architecture in (name for name in by_size(ours) if name in REPORT):
        theirs, gain = REPORT[architecture], gains.get(architecture)
        if gain is not None:
            marks[len(rows), "gain, points [95 % CI]"] = mark(gain.verdict)
        rows.append(
            {
                "network": architecture,
                "parameters": f"{theirs.parameters:,}",
                f"plain ({part})": dice.get((architecture, "baseline")),
                "PM": dice.get((architecture, "pm-kd")),
                "AT": dice.get((architecture, "at-kd")),
                "PM + AT (distilled)": dice.get((architecture, DISTILLED)),
                "gain, points [95 % CI]": points(gain),
                "report: plain": theirs.plain,
                "report: distilled": theirs.distilled,
                "report: gain": (
                    None if theirs.distilled is None else f"{100 * (theirs.distilled - theirs.plain):+.1f}"
                ),
            }
        )
    caption = (
        f"The report's table, ours beside its: {origin(done)}; the report's figures are the mean "
        f"Dice of its 125 test images ({CAVEAT})."
    )
    claims = {verdict for row in gains.values() if (verdict := str(row.verdict)).startswith("none")}
    if claims:
        few = ", ".join(sorted(verdict.removeprefix("none (").removesuffix(")") for verdict in claims))
        caption += f" {few[0].upper()}{few[1:]}: too few for a claim."
    return Table("report", caption, pd.DataFrame(rows), {key: mark for key, mark in marks.items() if mark})


def beside_report(report: Table) -> Table:
    """The report's table with fewer and shorter columns."""
    frame = report.frame
    plain = next(name for name in frame.columns if str(name).startswith("plain ("))
    gain = next(name for name in frame.columns if str(name).startswith("gain, points"))
    theirs = [
        " → ".join(f"{value:.3f}" for value in pair if not pd.isna(value))
        for pair in zip(frame["report: plain"], frame["report: distilled"], strict=True)
    ]
    short = pd.DataFrame(
        {
            "network": frame.network,
            "plain": frame[plain],
            "PM": frame.PM,
            "AT": frame["AT"],
            "both": frame["PM + AT (distilled)"],
            "gain [95 % CI]": frame[gain],
            "the report's": theirs,
            "gain": frame["report: gain"],
        }
    )
    marks = {(row, "gain [95 % CI]"): mark for (row, name), mark in report.marks.items() if name == gain}
    return Table(report.name, report.caption, short, marks)
