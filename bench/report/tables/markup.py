"""A table as Markdown and CSV; whatever comes from a file's name is shown as text, never run."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

import pandas as pd
from tabulate import tabulate

UNCLEAR, HARM, BEST = "unclear", "harm", "best"
MARKDOWN, LATEX = 0, 1
LEGEND = {
    UNCLEAR: ("°: no claim", "Grey: no claim"),
    HARM: ("↓: harms", "↓: harms"),
    BEST: ("Bold: the best of its network, and all that it can't be shown to beat",) * 2,
}
"""What a mark means, in ``MARKDOWN`` and in ``LATEX``."""


@dataclass(frozen=True)
class Table:
    """Cells with a caption.

    Attributes:
        name: of its files.
        frame: texts and numbers; None and NaN are shown as a dash.
        marks: ``UNCLEAR``, ``HARM`` or ``BEST`` by row number and column.
        wide: columns that LaTeX leaves out, for they are not read on paper.
        long: may run over pages.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    marks: dict[tuple[int, str], str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    long: bool = False


NAMES = (
    *("dataset", "case", "patient", "architecture", "network", "method", "recipe", "teacher", "reason"),
    *("graph", "runtime", "L_seg", "seg_loss"),
)
"""Columns of a CSV file that hold names."""


def csv_text(frame: pd.DataFrame) -> str:
    """CSV; names that a spreadsheet would take for a formula get an apostrophe in front.

    So do those that begin with one: whoever takes one apostrophe from the front of every name that begins
    with one has the names as they were.
    """
    names = {name: frame[name].map(_no_formula) for name in NAMES if name in frame}
    return str(frame.assign(**names).rename(columns=_no_formula).to_csv(index=False))


def _no_formula(value: object) -> object:
    """A name that is shown. Full-width and small signs (``＝``, ``﹢``) are those that they stand for."""
    first = unicodedata.normalize("NFKC", value[:1]) if isinstance(value, str) else ""
    risky = bool(re.match("['=+@-]", first)) and not re.fullmatch(r"[+-]\d+", str(value))
    return f"'{value}" if risky else value


def markdown(table: Table) -> str:
    """Caption and table for GitHub's Markdown."""
    rows = [
        [
            _marked(escape_markdown(cell_text(value)), table.marks.get((k, name)))
            for name, value in row.items()
        ]
        for k, row in enumerate(table.frame.to_dict("records"))
    ]
    names = [escape_markdown(str(name)) for name in table.frame.columns]
    body = tabulate(rows, headers=names, tablefmt="github", disable_numparse=True)
    caption = escape_markdown(caption_text(table, MARKDOWN))
    bold = re.sub(r"\b(validation|test) scores", r"**\1** scores", caption, count=1)
    return f"{bold}\n\n{body}\n"


def text_of(value: object, mark: str | None = None) -> str:
    """A cell without any markup but its mark."""
    return cell_text(value) + {UNCLEAR: " °", HARM: " ↓"}.get(mark or "", "")


def escape_markdown(text: str) -> str:
    """Text that Markdown, and the HTML in it, shows as it is."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split()))
    text = text.replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|~$])", r"\\\1", text).replace("](", "]\\(")
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def caption_text(table: Table, medium: int) -> str:
    """The caption with what the marks mean, in ``MARKDOWN``, which a terminal shows too, or ``LATEX``."""
    used = set(table.marks.values())
    legend = [texts[medium] for mark, texts in LEGEND.items() if mark in used]
    return " ".join([table.caption, *(f"{text}." for text in legend)])


def _marked(text: str, mark: str | None) -> str:
    return {UNCLEAR: f"{text} °", HARM: f"{text} ↓", BEST: f"**{text}**"}.get(mark or "", text)


def cell_text(value: object) -> str:
    """A value without its mark; a dash where there is none."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)
