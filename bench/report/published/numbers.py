"""Figures of the report that this harness implements, to stand beside ours.

Source: "Towards lightweight medical image segmentation deep models", student report (in French),
supervisor P.-H. Conze; its results table: liver, mean Dice of 125 test images. "Distilled" is its
combination of prediction and importance maps.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One row of the report's table; ``distilled`` is None for the teacher."""

    parameters: int
    plain: float
    distilled: float | None


REPORT: dict[str, Published] = {
    "unet-64-128-256-512": Published(7_696_193, 0.7408, None),
    "unet-32-64-128-256": Published(1_925_025, 0.6931, 0.7345),
    "unet-32-64-128": Published(465_953, 0.5647, 0.6487),
    "unet-32-64": Published(100_961, 0.3767, 0.4708),
}
DISTILLED = "combined"
"""What the report calls its distilled student."""
CAVEAT = "other data and split: compare gains, not levels"
