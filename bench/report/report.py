"""Write everything that follows from the records: CSV files, tables, figures, the page."""

from __future__ import annotations

import logging
from collections.abc import Collection

from bench.data.dataset import Dataset
from bench.files.atomic import write_text
from bench.report import chosen_on, frames, published
from bench.report.beside import beside_tables
from bench.report.comparisons import comparisons
from bench.report.figures.cases import chosen_jobs, write_panel
from bench.report.figures.figures import write_figures, write_figures_of_made
from bench.report.page.page import write_page
from bench.report.tables.compression import compression_table, short, trained_only
from bench.report.tables.dimensions import dimensions_table
from bench.report.tables.markup import csv_text
from bench.report.tables.one_graph import one_graph_table
from bench.report.tables.runtimes import runtimes_table
from bench.report.tables.tables import all_tables
from bench.report.tables.terminal import as_text, closing_tables
from bench.report.tables.writing import write_table
from bench.study.store import Study

log = logging.getLogger(__name__)

SELDOM = (
    "drawn",
    "given",
    "plugin",
    "beyond_twin",
    "unseen",
    "low_unseen",
    "high_unseen",
    "patients_unseen",
)
"""Columns of ``comparisons.csv`` that are left out where they hold nothing."""


def write_report(
    study: Study,
    dataset: Dataset | None,
    asked: Collection[str] | None = None,
) -> None:
    """Write the CSV files (summary, cases, comparisons, latency), ``tables/``, ``figures/`` and the page.

    Args:
        dataset: for the pictures of cases; None leaves them out.
        asked: ids of the jobs that were asked for, whose scores are said at the end; None: all.
    """
    root, read = study.root, frames.of_study(study)
    summary, cases, curves = read
    _, part = frames.score_column(summary)
    all_scored = cases["val" if part == "validation" else "test"]
    write_text(root / "summary.csv", csv_text(frames.written(summary)))
    write_text(root / "cases.csv", csv_text(cases["test"]))
    write_text(root / "cases_val.csv", csv_text(cases["val"]))
    latency = frames.latency(study)
    write_text(root / "latency.csv", csv_text(latency))
    # Where not every job has test scores, none is shown: tables and figures compare one part.
    everything = summary if part == "test" else summary.assign(dice=float("nan"))
    shown = trained_only(everything)
    scored = all_scored[all_scored.id.isin(shown.id)]
    done, made = shown[shown.status == "done"], everything[everything.status == "done"]
    compression = compression_table(made, all_scored, latency)
    compared = comparisons(done, scored, study.contrasts(), chosen_on.kept(study))
    unsaid = [name for name in SELDOM if not compared[name].replace("", None).count()]
    write_text(root / "comparisons.csv", csv_text(compared.drop(columns=unsaid)))
    tables = []
    if len(done):
        tables = [
            dimensions_table(shown),
            *all_tables(done, scored, compared, latency),
            *published.tables(done, compared),
        ]
    tables += [compression, one_graph_table(made, all_scored), runtimes_table(latency)]
    tables += (side_by_side := beside_tables(study, read))
    written = [write_table(root / "tables", table) for table in tables if len(table.frame)]
    figures = write_figures(root / "figures", shown, scored, curves, compared, published.figures)
    figures += write_figures_of_made(root / "figures", made)
    if dataset is None:
        log.info("report: no pictures of cases, for they need the images; give --data")
    else:
        jobs = chosen_jobs(shown, study, published.DISTILLED)
        figures += write_panel(root / "figures", study, dataset, jobs, scored)
    page = write_page(study, dataset, everything, all_scored, curves, compared, side_by_side)
    log.info(f"report: {len(written)} tables and {len(figures)} figures in {root}; open {page}")
    closing = closing_tables(trained_only(summary), published.closing_table(done, compared), asked)
    for text in [*closing, *([as_text(short(compression))] if len(compression.frame) else [])]:
        log.info(text)
