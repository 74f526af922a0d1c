"""A table as Markdown, CSV and LaTeX; whatever comes from a file's name is shown as text, never run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from bench.files.atomic import write_text

UNCLEAR, HARM, BEST = "unclear", "harm", "best"
LEGEND = {
    UNCLEAR: ("°: no claim", "Grey: no claim"),
    HARM: ("↓: harms", "↓: harms"),
    BEST: ("Bold: the best of its network, and all that it can't be shown to beat",) * 2,
}
"""What a mark means, in Markdown and in LaTeX."""


@dataclass(frozen=True)
class Table:
    """Cells with a caption.

    Attributes:
        name: of its files.
        frame: texts and numbers; None and NaN are shown as a dash.
        marks: ``UNCLEAR``, ``HARM`` or ``BEST`` by row number and column.
        wide: columns that LaTeX leaves out, for they don't fit on paper.
        long: may run over pages.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    marks: dict[tuple[int, str], str] = field(default_factory=dict)
    wide: tuple[str, ...] = ()
    long: bool = False


def write_table(folder: Path, table: Table) -> Path:
    """Write ``.md``, ``.csv`` and ``.tex``; returns the Markdown file."""
    stem = folder / table.name
    path = stem.with_name(f"{table.name}.md")
    write_text(path, markdown(table))
    write_text(stem.with_name(f"{table.name}.csv"), csv_text(table.frame))
    write_text(stem.with_name(f"{table.name}.tex"), latex(table))
    return path


NAMES = ("dataset", "case", "patient", "architecture", "network", "method", "teacher", "reason")
"""Columns of a CSV file that hold names."""


def csv_text(frame: pd.DataFrame) -> str:
    """CSV; names that a spreadsheet would take for a formula get an apostrophe in front."""
    names = {name: frame[name].map(_no_formula) for name in NAMES if name in frame}
    return str(frame.assign(**names).to_csv(index=False))


def _no_formula(value: object) -> object:
    risky = isinstance(value, str) and re.match("[=+@-]", value) and not re.fullmatch(r"[+-]\d+", value)
    return f"'{value}" if risky else value


def markdown(table: Table) -> str:
    """Caption and table for GitHub's Markdown."""
    rows = [
        [_marked(escape_markdown(_cell(value)), table.marks.get((k, name))) for name, value in row.items()]
        for k, row in enumerate(table.frame.to_dict("records"))
    ]
    names = [escape_markdown(str(name)) for name in table.frame.columns]
    body = tabulate(rows, headers=names, tablefmt="github", disable_numparse=True)
    caption = escape_markdown(_caption(table, 0))
    bold = re.sub(r"\b(validation|test) scores", r"**\1** scores", caption, count=1)
    return f"{bold}\n\n{body}\n"


def latex(table: Table) -> str:
    """A ``table*``, shrunk to the text's width where it is wider; or a ``longtable``."""
    frame = table.frame.drop(columns=[name for name in table.wide if name in table.frame])
    rows = [
        [_coloured(escape_latex(_cell(value)), table.marks.get((k, name))) for name, value in row.items()]
        for k, row in enumerate(frame.to_dict("records"))
    ]
    lines = [" & ".join(row) + r" \\" for row in rows]
    head = " & ".join(escape_latex(str(name)) for name in frame.columns) + r" \\"
    columns, caption = "l" * len(frame.columns), escape_latex(_caption(table, 1))
    if table.long:
        top = [
            rf"\begin{{longtable}}{{{columns}}}",
            rf"\caption{{{caption}}}\\",
            *(r"\toprule", head, r"\midrule", r"\endhead"),
        ]
        body = [*top, *lines, r"\bottomrule", r"\end{longtable}"]
    else:
        inner = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule"]
        body = [
            *(r"\begin{table*}", r"\centering", r"\small", rf"\caption{{{caption}}}"),
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            *inner,
            r"\end{tabular}}",
            r"\end{table*}",
        ]
    needs = r"% needs \usepackage{booktabs,graphicx,longtable,xcolor}"
    return "\n".join([needs, *body]) + "\n"


def text_of(value: object, mark: str | None = None) -> str:
    """A cell without any markup but its mark."""
    return _cell(value) + {UNCLEAR: " °", HARM: " ↓"}.get(mark or "", "")


def caption_of(table: Table) -> str:
    """The caption with what its marks mean."""
    return _caption(table, 0)


def escape_markdown(text: str) -> str:
    """Text that Markdown, and the HTML in it, shows as it is."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split()))
    text = text.replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*|~$])", r"\\\1", text).replace("](", "]\\(")
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def escape_latex(text: str) -> str:
    """Text that LaTeX sets as it is; letters that no font is sure to have by number."""
    text = re.sub(r"(?<!\w)-(?=\d)", "−", " ".join(text.split()))
    return "{}".join("".join(map(_latex_character, part)) for part in LIGATURES.split(text))


LIGATURES = re.compile(r"(?<=-)(?=-)|(?<=[`?!])(?=`)|(?<=')(?=')|(?<=,)(?=,)")
"""Between two characters that LaTeX would make one of."""
SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"{{{character}}}" for character in "[]*"},  # which mean something after the end of a row
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "÷": r"$\div$",
    "×": r"$\times$",
    "²": "$^2$",
    "³": "$^3$",
    "°": r"$^\circ$",
    "µ": r"$\mu$",
    "Δ": r"$\Delta$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "\xad": "",
}
LETTERS = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")
"""What every LaTeX sets without a package."""


def _latex_character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if " " <= character <= "~" or character in LETTERS:
        return character
    return rf"\texttt{{U+{ord(character):04X}}}"


def _caption(table: Table, medium: int) -> str:
    used = set(table.marks.values())
    legend = [texts[medium] for mark, texts in LEGEND.items() if mark in used]
    return " ".join([table.caption, *(f"{text}." for text in legend)])


def _marked(text: str, mark: str | None) -> str:
    return {UNCLEAR: f"{text} °", HARM: f"{text} ↓", BEST: f"**{text}**"}.get(mark or "", text)


def _coloured(text: str, mark: str | None) -> str:
    grey, red = rf"\textcolor{{gray}}{{{text}}}", rf"\textcolor{{red!70!black}}{{{text} $\downarrow$}}"
    return {UNCLEAR: grey, HARM: red, BEST: rf"\textbf{{{text}}}"}.get(mark or "", text)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)
