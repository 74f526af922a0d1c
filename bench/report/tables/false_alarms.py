"""What networks find where there is nothing: cases whose mask is empty."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import cautions, origin, repeat
from bench.report.cells import groups
from bench.report.tables.markup import Table
from bench.report.tables.matrix import settings, without_constant
from bench.report.tables.wording import number

AREA, SHARE = "false_positive_area", "false_positive_share"


def false_alarms_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """A row a network and method; empty where every case has an object.

    Args:
        done: the finished jobs of the summary.
        cases: a row per job and case, of the part that is shown.
    """
    rows: list[dict[str, Any]] = []
    empty = cases[cases[SHARE].notna()] if SHARE in cases else cases.iloc[:0]
    for cell, group in groups(done) if len(empty) else ():
        own = empty[empty.id.isin(group.id)]
        if not len(own):
            continue
        patients = own.groupby(["id", "patient"])[[AREA, SHARE]].mean()
        rows.append(
            {
                **settings(cell, group),
                "empty cases": own.case.nunique(),
                "with a false alarm": number(100 * (own[SHARE] > 0).mean(), ".0f", after=" %"),
                "area": number(patients[AREA].mean(), ",.1f"),
                "largest": number(own[AREA].max(), ",.1f"),
                "share of the image": number(100 * patients[SHARE].mean(), ".3f", after=" %"),
            }
        )
    caption = (
        f"What networks find in cases whose mask is empty: {origin(done)}. Area and share of the image are "
        f"means over patients and {repeat(done)}s. Areas are in mm² (of volumes mm³) where the data has a "
        f"spacing, else in pixels.{cautions(done)}"
    )
    return Table("false_alarms", caption, without_constant(pd.DataFrame(rows)))
