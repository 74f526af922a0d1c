"""A table into its files."""

from __future__ import annotations

from pathlib import Path

from bench.files.atomic import write_text
from bench.report.tables.latex import latex
from bench.report.tables.markup import Table, csv_text, markdown


def write_table(folder: Path, table: Table) -> Path:
    """Write ``.md``, ``.csv`` and ``.tex``; returns the Markdown file."""
    stem = folder / table.name
    path = stem.with_name(f"{table.name}.md")
    write_text(path, markdown(table))
    write_text(stem.with_name(f"{table.name}.csv"), csv_text(table.frame))
    write_text(stem.with_name(f"{table.name}.tex"), latex(table))
    return path
