"""Numbers as tables show them; None where there is none."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import extent


def natural(name: object) -> tuple[int, str]:
    """Orders names so that 9 comes before 10."""
    return len(str(name)), str(name)


def points(row: Any) -> str | None:
    """A comparison in Dice points, with the method's interval where it has one."""
    if row is None:
        return None
    method = _interval(row.low_method, row.high_method)
    return f"{100 * row.difference:+.1f}" + (f" {method}" if method else "")


def unseen(row: Any) -> str | None:
    """A contrast on the patients that no choice was made on, in Dice points; None of other comparisons."""
    if pd.isna(row.unseen):
        return None
    return " ".join(filter(None, (f"{100 * row.unseen:+.1f}", _interval(row.low_unseen, row.high_unseen))))


def networks(row: Any) -> str | None:
    """The interval of a comparison over patients, for these networks."""
    return None if row is None else _interval(row.low, row.high)


def closed(row: Any) -> str | None:
    """The share of the gap that a gain closes, or that there is none."""
    if row is None or row.gap_closed is None or isinstance(row.gap_closed, str):
        return None if row is None else row.gap_closed
    return number(100 * row.gap_closed, ".0f", after=" %")


def _interval(low: float, high: float) -> str | None:
    return None if pd.isna(low) else f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def size(group: pd.DataFrame) -> str:
    """The side of what the jobs of a cell see."""
    first = group.iloc[0]
    return extent(first.image_size, first.spatial_dims)


def sees(group: pd.DataFrame) -> str | None:
    """What the jobs of a cell see of volumes: the whole, or slices; None of images."""
    first = group.iloc[0]
    if first.slices:
        return f"{first.slices} slices"
    return "volumes" if first.spatial_dims == 3 else None


def spread(values: pd.Series) -> str | None:
    """Mean ± standard deviation; the mean alone of one value."""
    known = values.dropna()
    if not len(known):
        return None
    return f"{known.mean():.3f} ± {known.std():.3f}" if len(known) > 1 else f"{known.mean():.3f}"


def number(value: float | None, how: str, before: str = "", after: str = "") -> str | None:
    """The value in the format ``how``."""
    return None if value is None or pd.isna(value) else f"{before}{value:{how}}{after}"


def p_value(value: float) -> str | None:
    """Three digits after the point."""
    return "< 0.001" if value < 0.001 else number(value, ".3f")


def against_heavy(value: float, heavy: float, how: str, unit: float = 1.0) -> str | None:
    """The value and how many times smaller or larger than the heavy network's it is."""
    if value is None or pd.isna(value):
        return None
    text = f"{value * unit:{how}}"
    if heavy is None or pd.isna(heavy) or value == heavy or not value or not heavy:
        return text
    return f"{text} (÷{heavy / value:.3g})" if value < heavy else f"{text} (×{value / heavy:.3g})"


def disturbed(latency: pd.DataFrame) -> str:
    """Sentences where latencies were measured on a busy machine, on several or in several sessions."""
    found = ""
    if "busy" in latency and latency.busy.fillna(False).astype(bool).any():
        found = (
            " Others used the machine while latencies were measured: ratios between runtimes are too large."
        )
    if "processor" in latency:
        for device, names in latency.groupby("device").processor.unique().items():
            if len(names) > 1:
                found += f" On {device} measured on several: {', '.join(sorted(names))}."
    if "session" in latency:
        for device, number_of in latency.groupby("device").session.nunique().items():
            if number_of > 1:
                found += (
                    f" On {device} measured in {number_of} sessions, in each of which a machine may have "
                    "been faster or slower: compare within one (latency.csv)."
                )
    return found
