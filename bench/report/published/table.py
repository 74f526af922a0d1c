"""The report's own table, its figures beside ours."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import GAP, by_repeat, cautions, claimable, origin, updates
from bench.report.comparisons import of_cells
from bench.report.frames import by_size, score_column
from bench.report.published.numbers import CAVEAT, DISTILLED, REPORT
from bench.report.standard import usual_cells
from bench.report.tables.markup import Table
from bench.report.tables.matrix import mark
from bench.report.tables.wording import closed, networks, number, points

GAIN = "gain, points [95 % CI]"


def report_table(done: pd.DataFrame, compared: pd.DataFrame) -> Table:
    """The report's own table, its figures beside ours; empty unless one of its networks was run."""
    score, part = score_column(done)
    ours = done[usual_cells(done) & done.architecture.isin(list(REPORT))]
    if not len(ours):
        return Table("report", "", pd.DataFrame())
    network = ["architecture", "updates_asked"]
    dice = {key: by_repeat(group, score).mean() for key, group in ours.groupby([*network, "method"])}
    own = of_cells(ours, compared)
    own = own[(own.against == "baseline") & (own.method == DISTILLED)].drop_duplicates(network)
    gains = {(row.architecture, row.updates_asked): row for row in own.itertuples()}
    rows: list[dict[str, Any]] = []
    marks: dict[tuple[int, str], str] = {}
    known = ours.groupby(network, sort=False)
    order = {name: k for k, name in enumerate(by_size(ours))}
    for (architecture, asked), jobs in sorted(known, key=lambda item: order[item[0][0]]):
        theirs, gain = REPORT[architecture], gains.get((architecture, asked))
        if gain is not None:
            marks[len(rows), GAIN] = mark(gain.verdict)
        rows.append(
            {
                "network": architecture,
                "parameters": f"{theirs.parameters:,}",
                "updates": updates(jobs) or None,
                f"plain ({part})": dice.get((architecture, asked, "baseline")),
                "PM": dice.get((architecture, asked, "pm-kd")),
                "AT": dice.get((architecture, asked, "at-kd")),
                "PM + AT (distilled)": dice.get((architecture, asked, DISTILLED)),
                GAIN: points(gain),
                "gain, these networks": networks(gain),
                "claim": None if gain is None else gain.verdict,
                "gap closed": closed(gain),
                **_published(architecture),
            }
        )
    frame = pd.DataFrame(rows)
    if frame.updates.nunique() <= 1:
        frame = frame.drop(columns="updates")
    frame = frame.drop(columns=[name for name in ("gain, these networks", "gap closed", "claim")
                                if name in frame and frame[name].isna().all()])  # fmt: skip
    gap = f" {GAP}" if len(own) and own.gap_closed.notna().any() else ""
    caption = (
        f"The report's table, ours beside its: {origin(ours)}; the report's figures are the mean "
        f"Dice of its 125 test images ({CAVEAT}). Gain: PM + AT over plain.{claimable(own)}{gap}"
        f"{cautions(ours)}"
    )
    return Table("report", caption, frame, {key: mark for key, mark in marks.items() if mark})


def _published(architecture: str) -> dict[str, Any]:
    """The report's own figures of a network."""
    theirs = REPORT[architecture]
    teacher = max(REPORT.values(), key=lambda row: row.parameters).plain
    gain = None if theirs.distilled is None else theirs.distilled - theirs.plain
    return {
        "report: plain": theirs.plain,
        "report: distilled": theirs.distilled,
        "report: gain": None if gain is None else f"{100 * gain:+.1f}",
        "report: gap closed": (
            None if gain is None else number(100 * gain / (teacher - theirs.plain), ".0f", after=" %")
        ),
    }


def beside_report(report: Table) -> Table:
    """The report's table with fewer and shorter columns."""
    frame = report.frame
    plain = next(name for name in frame.columns if str(name).startswith("plain ("))
    theirs = [
        " → ".join(f"{value:.3f}" for value in pair if not pd.isna(value))
        for pair in zip(frame["report: plain"], frame["report: distilled"], strict=True)
    ]
    short = pd.DataFrame(
        {
            "network": frame.network,
            "updates": frame.get("updates"),
            "plain": frame[plain],
            "PM": frame.PM,
            "AT": frame["AT"],
            "both": frame["PM + AT (distilled)"],
            "gain [95 % CI]": frame[GAIN],
            "gap": frame.get("gap closed"),
            "the report's": theirs,
            "gain": frame["report: gain"],
        }
    )
    marks = {(row, "gain [95 % CI]"): mark for (row, name), mark in report.marks.items() if name == GAIN}
    return Table(report.name, report.caption, short.dropna(axis=1, how="all"), marks)
