"""Write everything that follows from the records: CSV files, tables, figures, the page."""

from __future__ import annotations

from collections.abc import Callable

from bench.data.dataset import Dataset
from bench.report import frames
from bench.report.figures import write_figures
from bench.report.page import write_page
from bench.report.panel import write_panel
from bench.report.tables import write_tables
from bench.store import Study, write_text


def write_report(study: Study, dataset: Dataset | None, say: Callable[[str], None] = print) -> None:
    """Write ``summary.csv``, ``cases.csv``, ``latency.csv``, ``tables/``, ``figures/`` and the page.

    Args:
        dataset: for the pictures of cases; None leaves them out.
    """
    summary = frames.summary(study)
    _, part = frames.score_column(summary)
    part_name = "val" if part == "validation" else "test"
    scored = frames.cases(study, part_name)
    write_text(study.root / "summary.csv", summary.to_csv(index=False))
    write_text(study.root / "cases.csv", frames.cases(study, "test").to_csv(index=False))
    write_text(study.root / "cases_val.csv", frames.cases(study, "val").to_csv(index=False))
    write_text(study.root / "latency.csv", frames.latency(study).to_csv(index=False))
    tables = write_tables(study.root / "tables", summary)
    figures = write_figures(study.root / "figures", summary, scored, frames.curves(study))
    if dataset is None:
        say("report: no pictures of cases, for they need the images; give --data")
    else:
        figures += write_panel(study.root / "figures", study, dataset, summary, scored)
    page = write_page(study, dataset, summary, scored, frames.curves(study))
    for table in tables:
        if table.stem == "report" or len(tables) == 1:
            say(table.read_text())
    say(f"report: {len(tables)} tables and {len(figures)} figures in {study.root}; open {page}")
