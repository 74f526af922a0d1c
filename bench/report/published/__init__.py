"""What was published beside what came out: an optional part of the report, for the networks it names.

``tables``, ``figures`` and ``closing_table`` are all that the rest of the report asks of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from bench.report.figures.style import Look
from bench.report.published.numbers import DISTILLED
from bench.report.published.reach import reach_figure, reach_table
from bench.report.published.table import beside_report, report_table
from bench.report.tables.markup import Table

__all__ = ["DISTILLED", "closing_table", "figures", "tables"]


def tables(done: pd.DataFrame, compared: pd.DataFrame) -> list[Table]:
    """The published table beside ours, and the pairs of networks of equal size."""
    return [report_table(done, compared), reach_table(done)]


def figures(own: pd.DataFrame, look: Look) -> dict[str, Callable[[], Figure | None]]:
    """Figures of finished jobs of one recipe, by the names of their files."""
    return {"reach": partial(reach_figure, own, look)}


def closing_table(done: pd.DataFrame, compared: pd.DataFrame) -> Table | None:
    """The published table in few columns, for a terminal; None where none of its networks was run."""
    table = report_table(done, compared) if len(done) else None
    return None if table is None or table.frame.empty else beside_report(table)
