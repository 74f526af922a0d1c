"""How figures look: one colour a method, one marker a network, the widths of a journal's columns.

The page takes colours and markers from here too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Path2D
from matplotlib.textpath import text_to_path

from bench.files.atomic import write_file
from bench.report.captions import progress, repeats, updates
from bench.report.frames import score_column
from bench.report.method_names import in_order, label, rank
from bench.report.old_records import METHODS

FORMATS = (".png", ".pdf")
"""Files of every figure, by their suffixes."""
ONE_COLUMN, TWO_COLUMNS = 88 / 25.4, 180 / 25.4
"""Widths in inches of one and of two columns of a journal (88 and 180 mm)."""
MARKERS = {
    "unet-64-128-256-512": "o",
    "unet-32-64-128-256": "D",
    "unet-32-64-128": "s",
    "unet-32-64": "^",
    "unet-16-32-64-128": "P",
    "unet-8-16-32-64": "v",
    "dmfnet": "*",
}
OTHER_MARKERS = (
    *("X", "<", ">", "d", "p", (4, 1, 0), (3, 1, 0), "h", (6, 1, 0), (4, 1, 45), (3, 1, 180)),
    *((5, 1, 36), (8, 1, 0)),
)
"""Tuples: stars of as many points, upright or turned by as many degrees."""
FURTHER_COLOURS = ("#332288", "#882255", "#117733", "#999933", "#000000", "#44aa99")
DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1)), "-.")
SIZE = 8
"""Points of titles and labels."""
STYLE: dict[str, Any] = {
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.labelsize": SIZE,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.ymargin": 0.08,
    "grid.linewidth": 0.3,
    "lines.linewidth": 1,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.2,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """Colour and dash of every method and marker of every network of a study, in all of its figures."""

    colour: Mapping[str, Any]
    dash: Mapping[str, Any]
    marker: Mapping[str, Any]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Look:
        """Of the summary of a whole study."""
        return cls(colours(frame.method), dashes(frame.method), markers(frame.architecture))


def colours(methods: Iterable[str]) -> dict[str, Any]:
    """One colour a method, by its place among the methods."""
    known = palette()
    places: dict[str, int] = {}
    for method in in_order({*METHODS, *methods}):
        following = max(places.values(), default=-1) + 1
        places[method] = max(following, rank(method, following))
    return {method: known[place % len(known)] for method, place in places.items()}


def palette() -> list[Any]:
    """Colours in their order, told apart by the colour-blind."""
    return [*sns.color_palette("colorblind", 10), *map(to_rgb, FURTHER_COLOURS)]


def dashes(methods: Iterable[str]) -> dict[str, Any]:
    """One kind of line a method, for print without colour."""
    return {method: DASHES[k % len(DASHES)] for k, method in enumerate(colours(methods))}


def markers(networks: Iterable[str]) -> dict[str, Any]:
    """One marker a network of a study; those of known networks in every study."""
    others = sorted({name for name in networks if name not in MARKERS})
    return MARKERS | {name: OTHER_MARKERS[k % len(OTHER_MARKERS)] for k, name in enumerate(others)}


def outline_of(marker: Any) -> str:
    """A marker as a path of SVG around the origin, about from -1 to 1."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    parts = []
    for points, code in path.iter_segments(curves=False):
        letter = {Path2D.MOVETO: "M", Path2D.LINETO: "L"}.get(code)
        parts.append(f"{letter}{2 * points[0]:.2f} {-2 * points[1]:.2f}" if letter else "Z")
    return "".join(parts)


def files_of(stem: Path) -> list[Path]:
    """Where the figure of that name is written."""
    return [stem.with_suffix(suffix) for suffix in FORMATS]


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write PNG (300 dpi) and PDF at the figure's own size, and close it."""
    paths = files_of(stem)
    for path in paths:
        options: dict[str, Any] = {"metadata": {"CreationDate": None}} if path.suffix == ".pdf" else {}
        write_file(path, partial(figure.savefig, dpi=300, **options))
    plt.close(figure)
    return paths


def heading(frame: pd.DataFrame, part: bool = True) -> str:
    """What every figure says above it: which data and part, whether synthetic, how many updates.

    And how many folds or seeds, and how much of the study is done, where it is not all.
    """
    names = ", ".join(sorted(plain(name) for name in frame.dataset.unique()))
    synthetic = " (synthetic)" if frame.synthetic.fillna(False).any() else ""
    scored = f", {score_column(frame)[1]}" if part else ""
    losses = set(frame.seg_loss) - {"dice-bce"}
    recipe = f", L_seg {', '.join(sorted(losses))}" if losses else ""
    recipe += "".join(f", {name} slices" for name in sorted(set(frame.slices) - {""}))
    trained = frame[frame.source.fillna("") == ""].groupby("method").changed
    recipe += "".join(
        f", {plain(label(method))}{plain(own.iloc[0])}"
        for method, own in trained
        if own.nunique() == 1 and own.iloc[0]
    )
    trained_for = f"{updates(frame)} updates" if updates(frame) else ""
    return f"{names}{synthetic}{recipe}{scored}, " + ", ".join(
        filter(None, (trained_for, repeats(frame), progress(frame)))
    )


def title(figure: Figure, text: str) -> None:
    """Above the whole figure, flush left, in as many lines as it takes."""
    letters = int(18 * figure.get_figwidth())  # on a line, where few of them are wide
    while max(map(_width, lines := textwrap.wrap(text, letters))) > 0.99 * figure.get_figwidth():
        letters -= 1
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=SIZE)


def _width(line: str) -> float:
    """Inches that a line of a title takes."""
    points, *_ = text_to_path.get_text_width_height_descent(line, FontProperties(size=SIZE), ismath=False)
    return float(points) / 72


def legend(figure: Figure, look: Look, methods: Sequence[str], networks: Sequence[str] = ()) -> None:
    """Below the figure: colours of methods, then markers of networks, row by row."""
    lines = [
        Line2D([], [], ls="", marker="o", color=look.colour[m], label=plain(label(m))) for m in methods
    ]
    signs = [
        Line2D([], [], ls="", marker=look.marker[n], color="0.4", ms=5, label=plain(n)) for n in networks
    ]
    by_row(figure, lines, signs)


def by_row(figure: Figure, first: Sequence[Line2D], then: Sequence[Line2D] = ()) -> None:
    """A legend below the figure, row by row; ``then`` begins a row of its own."""
    columns = 2 if then and figure.get_figwidth() < TWO_COLUMNS else 4
    blank = Line2D([], [], ls="", label=" ")
    lines = [*first, *([blank] * (-len(first) % columns if then else 0)), *then]
    rows = -(-len(lines) // columns)
    columns = min(columns, len(lines))
    lines += [blank] * (rows * columns - len(lines))
    ordered = [lines[row * columns + column] for column in range(columns) for row in range(rows)]
    figure.legend(handles=ordered, ncols=columns, loc="outside lower center")


def two_lines(network: str) -> str:
    """``unet-64-128`` under its family, to fit below an axis."""
    family, _, rest = plain(network).partition("-")
    return f"{family}\n{rest}" if rest else family


def plain(text: object) -> str:
    """Text that matplotlib shows as it is: a dollar sign would start a formula."""
    return str(text).replace("$", r"\$")
