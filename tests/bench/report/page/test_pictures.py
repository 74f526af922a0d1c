"""What the pictures are made of."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bench.report.page.pictures import outline, script, slices


def area(path: str) -> float:
    """The shoelace area inside an SVG path of relative lines, in pixels; holes count negative."""
    total = 0.0
    for part in path.split("M")[1:]:
        start, moves = part.rstrip("z").split("l")
        steps = np.array(moves.split(), float).reshape(-1, 2)
        x, y = np.cumsum(np.vstack([np.array(start.split(), float), steps]), axis=0).T / 2
        total += 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return abs(total)


def test_an_outline_surrounds_its_pixels():
    assert outline(np.zeros((4, 4), bool)) == ""
    one = np.zeros((4, 5), bool)
    one[1, 2] = True
    assert area(outline(one)) == 0.5, "a pixel, its corners cut"
    block = np.zeros((30, 40), bool)
    block[5:20, 7:30] = True
    assert math.isclose(area(outline(block)), 15 * 23 - 4 / 8)
    assert outline(block).count(" ") < 20, "straight sides are one step"
    block[10:15, 10:15] = False
    assert math.isclose(area(outline(block)), 15 * 23 - 4 / 8 - (25 - 4 / 8))
    assert math.isclose(area(outline(np.ones((3, 3), bool))), 9 - 4 / 8), "closed at the image's edge"


def test_slices_of_a_volume_stand_upright():
    volume = np.arange(24).reshape(2, 3, 4)
    planes = slices(volume)
    assert len(planes) == 4
    assert planes[0].shape == (3, 2)
    assert planes[1][0, 0] == volume[0, 2, 1]


def test_scripts_hold_no_markup_and_no_nan():
    text = script({"a": "</script>&", "b": "\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>&", "b": "\u2028"}
    with pytest.raises(ValueError, match="not JSON"):
        script(math.nan)
