"""Write everything that follows from the records: CSV files, tables, figures, the page."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bench.data.dataset import Dataset
from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.dimensions import dimensions_table
from bench.report.figures import write_figures
from bench.report.markup import csv_text, write_table
from bench.report.page import write_page
from bench.report.panel import write_panel
from bench.report.tables import write_tables
from bench.report.terminal import closing_tables
from bench.store import Study, write_text


def write_report(
    study: Study,
    dataset: Dataset | None,
    say: Callable[[str], None] = print,
    asked: Collection[str] | None = None,
) -> None:
    """Write the CSV files (summary, cases, comparisons, latency), ``tables/``, ``figures/`` and the page.

    Args:
        dataset: for the pictures of cases; None leaves them out.
        asked: ids of the jobs that were asked for, whose scores are said at the end; None: all.
    """
    summary = frames.summary(study)
    _, part = frames.score_column(summary)
    part_name = "val" if part == "validation" else "test"
    scored = frames.cases(study, part_name)
    write_text(study.root / "summary.csv", csv_text(summary))
    write_text(study.root / "cases.csv", csv_text(frames.cases(study, "test")))
    write_text(study.root / "cases_val.csv", csv_text(frames.cases(study, "val")))
    write_text(study.root / "latency.csv", csv_text(frames.latency(study)))
    # Where not every job has test scores, none is shown: tables and figures compare one part.
    shown = summary if part == "test" else summary.assign(dice=float("nan"))
    dimensions = dimensions_table(shown)
    # Elsewhere slices of volumes would be taken for the volumes.
    shown = shown[shown.spatial_dims == shown.spatial_dims.max()]
    scored = scored[scored.id.isin(shown.id)]
    compared = comparisons(shown[shown.status == "done"], scored)
    write_text(study.root / "comparisons.csv", csv_text(compared))
    tables = write_tables(study.root / "tables", shown, scored, compared)
    if len(dimensions.frame):
        tables.append(write_table(study.root / "tables", dimensions))
    figures = write_figures(study.root / "figures", shown, scored, frames.curves(study), compared)
    if dataset is None:
        say("report: no pictures of cases, for they need the images; give --data")
    else:
        figures += write_panel(study.root / "figures", study, dataset, shown, scored)
    page = write_page(study, dataset, shown, scored, frames.curves(study), compared)
    say(f"report: {len(tables)} tables and {len(figures)} figures in {study.root}; open {page}")
    for text in closing_tables(summary, shown, compared, asked):
        say(text)
