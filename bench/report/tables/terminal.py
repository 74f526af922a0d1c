"""Tables as lines for the terminal, 80 to 100 columns wide and without colour."""

from __future__ import annotations

import io
import shutil
import textwrap
from collections.abc import Collection

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.captions import averaged, by_repeat, cautions, has_folds, progress, repeats, updates
from bench.report.cells import groups
from bench.report.tables.markup import MARKDOWN, Table, caption_text, text_of
from bench.report.tables.wording import number, size, spread

NARROW, WIDE = 80, 100

LONG_METHOD = 24
"""Letters of a method above which it takes several lines, so that numbers keep theirs."""


def closing_tables(
    summary: pd.DataFrame, published: Table | None, asked: Collection[str] | None = None
) -> list[str]:
    """What a report ends with: our scores beside published ones, or else every network and method.

    Args:
        summary: a row a job, with test scores wherever a job has them.
        published: the table of published scores beside ours, if there is one.
        asked: ids of the jobs of a matrix: their scores come last, and the published ones only if all of
            their networks are among them. None: the whole study, and its scores only without that table.
    """
    all_done = summary[summary.status == "done"]
    own = all_done if asked is None else all_done[all_done.id.isin(asked)]
    texts = []
    if published is not None and set(published.frame.network) <= set(own.architecture):
        texts.append(as_text(published))
    if len(own) and (asked is not None or not texts):
        texts.append(as_text(cells_table(own)))
    return texts


def cells_table(done: pd.DataFrame) -> Table:
    """Scores and costs of finished jobs: a row a network and method, means over folds or seeds."""
    rows = []
    for cell, group in groups(done):
        first = group.iloc[0]
        rows.append(
            {
                "network": cell.network,
                "method": cell.method,
                "parameters of the method": cell.method_parameters or None,
                "L_seg": cell.seg_loss,
                "image": size(group),
                "sees": cell.slices or None,
                "teacher": cell.teacher or None,
                "labels": " drawn ".join(filter(None, (cell.labels, cell.drawn))),
                "teacher saw": cell.teacher_labels,
                "unlabelled": cell.unlabelled,
                "updates": updates(group) or None,
                "folds": repeats(group) if has_folds(group) else None,
                "code": " ".join(sorted(set(group.version.dropna()))) or None,
                "Dice (val)": spread(by_repeat(group, "dice_val")),
                "Dice (test)": spread(by_repeat(group, "dice")) if group.dice.notna().all() else None,
                "parameters": number(first.parameters, ",.0f"),
                "GMACs": None if pd.isna(first.macs) else number(first.macs * 1e-9, ".3g"),
                "CPU ms": number(first.latency_cpu_ms_p50, ".3g"),
            }
        )
    frame = pd.DataFrame(rows)
    same = ["parameters of the method", "L_seg", "image", "sees", "labels", "teacher saw", "unlabelled"]
    same += ["updates", "folds", "code"]
    dull = [name for name in same if frame[name].nunique(dropna=False) <= 1]
    usual = frame.groupby("method")["parameters of the method"].nunique(dropna=False).max() <= 1
    dull += ["parameters of the method"] if usual else []
    dull += ["teacher"] if frame.teacher.nunique() <= 1 else []
    empty = [name for name in frame.columns if frame[name].isna().all()]
    synthetic = "synthetic data, " if done.synthetic.fillna(False).any() else ""
    trained = updates(done)
    names, sizes = ", ".join(sorted(done.dataset.unique())), " and ".join(dict.fromkeys(frame.image))
    caption = (
        f"{names} ({synthetic}{sizes}), {repeats(done)}{f', {trained} updates a job' if trained else ''}"
        f"{f'; so far {progress(done)}' if progress(done) else ''}. "
        f"Dice: {averaged(done)}; latency: p50, batch 1, fp32.{cautions(done)}"
    )
    return Table("cells", caption, frame.drop(columns=list({*dull, *empty})))


def as_text(table: Table, width: int | None = None) -> str:
    """The table as lines; ``width`` columns at most, by default the terminal's between 80 and 100."""
    if width is None:
        width = min(max(shutil.get_terminal_size((WIDE, 24)).columns, NARROW), WIDE)
    grid = RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    cells = {
        name: [text_of(value, table.marks.get((k, name))) for k, value in enumerate(table.frame[name])]
        for name in table.frame.columns
    }
    for name, column in cells.items():
        whole = name in ("network", "parameters", "id") or (
            name == "method" and max(map(len, column), default=0) <= LONG_METHOD
        )
        left = name in ("network", "method", "recipe")
        words = [len(word) for cell in column for word in cell.split()]
        grid.add_column(
            Text(str(name)),
            justify="left" if left else "right",
            no_wrap=whole,
            overflow="fold",  # a number that is cut off is another number
            min_width=None if left else max(words, default=1),
        )
    for row in zip(*cells.values(), strict=True):
        grid.add_row(*map(Text, row))
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    console.print(grid)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join(["", *textwrap.wrap(caption_text(table, MARKDOWN), width), "", *lines, ""])
