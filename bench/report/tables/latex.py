"""A table as LaTeX that can be printed: within the text of a page, and no letter below 7 points.

What is too wide is split into parts, each of which names its rows. Widths are estimated from the letters,
for the document's own fonts are not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report.tables.markup import BEST, HARM, LATEX, UNCLEAR, Table, caption_text, cell_text

TEXT_WIDTH = 345.0
"""Points: the narrowest page that is common, that of LaTeX's own classes at 10 points."""
SIZES = (8, 7)
"""Points of letters, the larger where the table fits with it."""
SEPARATION = 3.0
"""Points on each side of a column."""
WIDEST = 0.36
"""The part of the text that a column may take before its text is broken into lines."""
MOST_ROWS = 40
"""More are a ``longtable``, which may run over pages."""
KEYS = ("network", "architecture", "from", "method", "recipe", "patient")
"""Columns that name a row."""
EM = (
    (re.compile(r"[ .,:;!'|ijlt()\[\]]"), 0.42),
    (re.compile(r"[0-9a-z+–-]"), 0.6),
    (re.compile(r"[A-Z%]"), 0.9),
)
"""Widths of letters as parts of the size, from above; of any other, 1; of one that is set by number, 4."""


def latex(table: Table) -> str:
    """As many tables as the width of a page asks for: ``table*``, or ``longtable`` of many rows."""
    frame = table.frame.drop(columns=[name for name in table.wide if name in table.frame])
    cells = [
        [(_latex_cell(value), table.marks.get((k, name))) for name, value in row.items()]
        for k, row in enumerate(frame.to_dict("records"))
    ]
    names = [str(name) for name in frame.columns]
    parts, size = _parts(names, cells)
    keys = [k for k, name in enumerate(names) if name in KEYS]
    numbered = len(parts) > 1 and (not keys or bool(frame.iloc[:, keys].duplicated().any()))
    long = table.long or len(cells) > MOST_ROWS
    texts = [r"% needs \usepackage{booktabs,longtable,xcolor}"]
    for k, columns in enumerate(parts):
        own = [[row[column] for column in columns] for row in cells]
        heads = [names[column] for column in columns]
        if numbered:
            heads = ["row", *heads]
            own = [[(str(line + 1), None), *row] for line, row in enumerate(own)]
        caption = caption_text(table, LATEX) if not k else f"Continued, part {k + 1} of {len(parts)}."
        texts += _one(escape_latex(caption), heads, own, size, long)
    return "\n".join(texts) + "\n"


Cells = list[list[tuple[str, str | None]]]
"""Rows of texts with their marks."""


def _one(caption: str, heads: Sequence[str], cells: Cells, size: float, long: bool) -> list[str]:
    """One table, line by line."""
    widths = [
        _width([head, *column], size) for head, column in zip(heads, _columns(cells, heads), strict=True)
    ]
    most = WIDEST * TEXT_WIDTH
    spec = "".join("l" if width <= most else rf"p{{{most:.0f}pt}}" for width in widths)
    spec = f"@{{}}{spec}@{{}}"
    lines = [
        " & ".join(_coloured(escape_latex(text), mark) for text, mark in row) + r" \\" for row in cells
    ]
    head = " & ".join(map(escape_latex, heads)) + r" \\"
    small = (
        rf"\fontsize{{{size}}}{{{1.2 * size:.1f}}}\selectfont\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
    )
    if long:
        return [
            rf"{{{small}",
            rf"\begin{{longtable}}{{{spec}}}",
            rf"\caption{{{caption}}}\\",
            *(r"\toprule", head, r"\midrule", r"\endhead", *lines, r"\bottomrule"),
            r"\end{longtable}}",
        ]
    return [
        *(r"\begin{table*}", r"\centering", rf"\caption{{{caption}}}", small),
        *(rf"\begin{{tabular}}{{{spec}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule"),
        *(r"\end{tabular}", r"\end{table*}"),
    ]


def _parts(names: Sequence[str], cells: Cells) -> tuple[list[list[int]], int]:
    """Which columns stand in which table, and the size of the letters."""
    every = list(range(len(names)))
    for size in SIZES:
        widths = [
            min(_width([name, *column], size), WIDEST * TEXT_WIDTH) + 2 * SEPARATION
            for name, column in zip(names, _columns(cells, names), strict=True)
        ]
        if sum(widths) <= TEXT_WIDTH:
            return [every], size
    keys = [k for k in every if names[k] in KEYS][:2]
    room = TEXT_WIDTH - sum(widths[k] for k in keys) - _width(["row"], size) - 2 * SEPARATION
    parts: list[list[int]] = [[]]
    for k in (k for k in every if k not in keys):
        if parts[-1] and sum(widths[j] for j in parts[-1]) + widths[k] > room:
            parts.append([])
        parts[-1].append(k)
    return [[*keys, *part] for part in parts], size


def _columns(cells: Cells, names: Sequence[str]) -> list[list[str]]:
    return [[row[k][0] for row in cells] for k in range(len(names))]


def _width(texts: Sequence[str], size: float) -> float:
    """Points that the widest of the texts takes, estimated from above; bold is wider by a sixth."""
    return size * 1.17 * max(sum(map(_em, text)) for text in texts)


def _em(letter: str) -> float:
    for pattern, width in EM:
        if pattern.match(letter):
            return width
    return 1.0 if letter in SPECIAL or " " <= letter <= "~" or letter in LETTERS else 4.0


def _latex_cell(value: object) -> str:
    """A cell's text; a raised figure would be smaller than the rest, so 64² is 64×64."""
    text = re.sub(r"(\d+)²", r"\1×\1", cell_text(value))
    return re.sub(r"(\d+)³", r"\1×\1×\1", text)


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


def _coloured(text: str, mark: str | None) -> str:
    grey, red = rf"\textcolor{{gray}}{{{text}}}", rf"\textcolor{{red!70!black}}{{{text} $\downarrow$}}"
    return {UNCLEAR: grey, HARM: red, BEST: rf"\textbf{{{text}}}"}.get(mark or "", text)
