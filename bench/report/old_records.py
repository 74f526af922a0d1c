"""What records and profiles of before it was written in them don't say of their methods and networks."""

from __future__ import annotations

import re

METHODS = {
    "baseline": ("plain", ""),
    "pm-kd": ("PM", "temperature=4.0 unlabelled_weight=1.0 variant=common weight=0.1"),
    "at-kd": ("AT", "unlabelled_weight=1.0 variant=common weight=0.9"),
    "combined": (
        "PM + AT",
        "at_weight=0.9 pm_weight=0.1 temperature=4.0 unlabelled_weight=1.0 variant=common",
    ),
}
"""In their order: name on axes, default parameters, of which old records lack the newer ones.

See ``shown`` in ``bench/running/record.py``.
"""

UNETS = (5, 18, 44, 92, 188, 380)
"""The receptive fields of U-Nets of one level, two levels, and so on."""


def reach(architecture: str) -> tuple[int | None, int | None]:
    """Stride and receptive field, which ``profile.json`` has now; None where they are not known."""
    if architecture == "dmfnet":
        return 16, 511
    levels = len(re.findall(r"-\d+", architecture)) if re.fullmatch(r"unet(-\d+)+", architecture) else 0
    return (2 ** (levels - 1), UNETS[levels - 1]) if 0 < levels <= len(UNETS) else (None, None)
