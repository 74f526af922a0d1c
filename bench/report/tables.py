"""Tables in Markdown, CSV and LaTeX, each from the summary frame alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from bench.report.frames import by_size, score_column, standard
from bench.report.published import CAVEAT, REPORT
from bench.store import write_text


def write_tables(folder: Path, frame: pd.DataFrame) -> list[Path]:
    """Write every table that the summary ``frame`` can fill; returns the Markdown files."""
    done = frame[frame.status == "done"]
    if not len(done):
        return []
    written = []
    for name, make in (("matrix", matrix_table), ("report", report_table)):
        table, caption = make(done)
        if len(table):
            written.append(write_table(folder / name, table, caption))
    return written


def write_table(stem: Path, table: pd.DataFrame, caption: str) -> Path:
    """Write ``stem.md``, ``stem.csv`` and ``stem.tex``."""
    shown = table.map(_cell)
    piped = shown.map(lambda text: text.replace("|", "\\|"))
    markdown = tabulate(piped, headers="keys", tablefmt="github", showindex=False, disable_numparse=True)
    latex = tabulate(
        shown, headers="keys", tablefmt="latex_booktabs", showindex=False, disable_numparse=True
    )
    floating = (
        "\\begin{table}\n\\centering\n\\small\n"
        f"\\caption{{{_escape(caption)}}}\n{latex}\n\\end{{table}}\n"
    )
    write_text(stem.with_suffix(".md"), f"{caption}\n\n{markdown}\n")
    write_text(stem.with_suffix(".csv"), table.to_csv(index=False))
    write_text(stem.with_suffix(".tex"), floating)
    return stem.with_suffix(".md")


def origin(frame: pd.DataFrame) -> str:
    """What every caption must say: which data, which part, how many seeds and updates of it."""
    _, part = score_column(frame)
    synthetic = "*synthetic* data, " if frame.synthetic.fillna(False).any() else ""
    seeds = frame.seed.nunique()
    sizes = " and ".join(f"{size}²" for size in sorted(frame.image_size.unique()))
    return (
        f"{', '.join(sorted(frame.dataset.unique()))} ({synthetic}{sizes}), **{part}** scores, "
        f"{seeds} seed{'s' if seeds > 1 else ''}"
    )


def matrix_table(done: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Every cell: Dice over seeds, gain over the same student's baseline, cost, ratios to the largest."""
    score, part = score_column(done)
    groups = ["architecture", "seg_loss", "method", "variant", "method_parameters", "teacher", "image_size"]
    cells = done.groupby(groups, sort=False, dropna=False)
    largest = done.loc[done.parameters.idxmax()]
    base = done[done.method == "baseline"].groupby(["architecture", "seg_loss", "image_size"])[score].mean()
    rows = []
    for key, group in cells:
        architecture, seg_loss, method, variant, _, teacher, image_size = key
        mean, sd, seeds = group[score].mean(), group[score].std(), len(group)
        reference = base.get((architecture, seg_loss, image_size))
        gain = None if method == "baseline" or reference is None else 100 * (mean - reference)
        first = group.iloc[0]
        rows.append(
            {
                "architecture": architecture,
                "method": method,
                "L_seg": seg_loss,
                "variant": variant,
                "teacher": teacher,
                f"Dice ({part})": _spread(mean, sd, seeds),
                "gain, points": None if gain is None else f"{gain:+.1f}",
                "HD95": group["hd95_val" if part == "validation" else "hd95"].mean(),
                "parameters": _against(first.parameters, largest.parameters, _thousands),
                "GMACs": _against(first.macs, largest.macs, _giga),
                "MB": first.size_mb,
                "CPU ms, p50": _against(first.latency_cpu_ms_p50, largest.latency_cpu_ms_p50, _ms),
                "train s": f"{group.train_seconds.mean():.0f}",
                "record": " ".join(group.id),
            }
        )
    caption = (
        f"Every cell of the study: {origin(done)}. Gain: Dice points over the same student trained "
        "plainly; one seed carries about ±1 point, so smaller differences mean nothing. In brackets "
        "the reduction against the largest network. Latency: batch 1, fp32."
    )
    table = pd.DataFrame(rows)
    constant = [name for name in ("L_seg", "teacher") if table[name].replace("", pd.NA).nunique() <= 1]
    return table.drop(columns=constant), caption


def report_table(done: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The report's own table, its figures beside ours; empty unless one of its networks was run."""
    score, part = score_column(done)
    ours = standard(done[done.seg_loss == "dice-bce"])
    dice = ours.groupby(["architecture", "method"])[score].mean()
    rows = []
    for architecture in by_size(done):
        if architecture not in REPORT:
            continue
        theirs = REPORT[architecture]
        plain = dice.get((architecture, "baseline"))
        distilled = dice.get((architecture, "combined"))
        rows.append(
            {
                "network": architecture,
                "parameters": f"{theirs.parameters:,}",
                f"plain ({part})": plain,
                "PM": dice.get((architecture, "pm-kd")),
                "AT": dice.get((architecture, "at-kd")),
                "PM + AT (distilled)": distilled,
                "gain, points": _gain(plain, distilled),
                "report: plain": theirs.plain,
                "report: distilled": theirs.distilled,
                "report: gain": _gain(theirs.plain, theirs.distilled),
            }
        )
    caption = (
        f"The report's table, ours beside its: {origin(done)}; the report's figures are the mean "
        f"Dice of its 125 test images ({CAVEAT})."
    )
    table = pd.DataFrame(rows)
    return table, caption


def _gain(plain: float | None, distilled: float | None) -> str | None:
    if plain is None or distilled is None:
        return None
    return f"{100 * (distilled - plain):+.1f}"


def _spread(mean: float, sd: float, seeds: int) -> str:
    return f"{mean:.3f} ± {sd:.3f}" if seeds > 1 else f"{mean:.3f}"


def _against(value: float, largest: float, show: Callable[[float], str]) -> str | None:
    """The value and, where it is smaller, how many times."""
    if pd.isna(value):
        return None
    if pd.isna(largest) or value >= largest:
        return show(value)
    return f"{show(value)} (÷{largest / value:.3g})"


def _thousands(value: float) -> str:
    return f"{value:,.0f}"


def _giga(value: float) -> str:
    return f"{value / 1e9:.3g}"


def _ms(value: float) -> str:
    return f"{value:.3g}"


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def _escape(text: str) -> str:
    """Text to LaTeX; Markdown's emphasis is dropped."""
    text = text.replace("*", "")
    for character in "&%$#_{}":
        text = text.replace(character, f"\\{character}")
    return text.replace("±", "$\\pm$").replace("²", "$^2$")
