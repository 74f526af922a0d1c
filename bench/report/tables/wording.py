"""Numbers as tables show them; None where there is none."""

from __future__ import annotations

import pandas as pd


def natural(name: object) -> tuple[int, str]:
    """Orders names so that 9 comes before 10."""
    return len(str(name)), str(name)


def points(row: object) -> str | None:
    """A comparison in Dice points with its interval."""
    if row is None:
        return None
    difference, low, high = (100 * getattr(row, name) for name in ("difference", "low", "high"))
    return f"{difference:+.1f}" + ("" if pd.isna(low) else f" [{low:+.1f}, {high:+.1f}]")


def spread(values: pd.Series) -> str | None:
    """Mean ± standard deviation; the mean alone of one value."""
    known = values.dropna()
    if not len(known):
        return None
    return f"{known.mean():.3f} ± {known.std():.3f}" if len(known) > 1 else f"{known.mean():.3f}"


def number(value: float | None, how: str, before: str = "") -> str | None:
    """The value in the format ``how``."""
    return None if value is None or pd.isna(value) else f"{before}{value:{how}}"


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
