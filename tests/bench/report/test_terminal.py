"""Tables at a terminal: a number that is cut off would be another number."""

import pandas as pd
import pytest

from bench.report.tables.markup import Table
from bench.report.tables.terminal import as_text

ROW = {
    "network": "unet-16-32-64-128",
    "method": "combined[temperature=2,variant=official] > int8[runtime=onnxruntime]",
    "id": "0509e88190ea7a95",
    "Dice (val)": "0.782",
    "points to it [95 %]": "-0.8 [-4.5, +1.2]",
    "ms": "8.61",
    "MB": "0.633",
    "than it": "alike",
}


@pytest.mark.parametrize("width", [80, 100])
def test_long_recipes_take_lines_and_numbers_stay_whole(width):
    lines = as_text(Table("choice", "Runners-up.", pd.DataFrame([ROW, ROW])), width).splitlines()
    assert max(map(len, lines)) <= width
    first = next(line for line in lines if ROW["network"] in line)
    for name in ("id", "Dice (val)", "ms", "MB", "than it"):
        assert ROW[name] in first.split()
    text = "\n".join(lines)
    assert "…" not in text
    assert text.count("-4.5,") == text.count("+1.2]") == 2


def test_a_table_without_rows_is_its_caption_and_its_head():
    text = as_text(Table("none", "Nothing yet.", pd.DataFrame(columns=["network", "ms"])), 80)
    assert "Nothing yet." in text
    assert "network" in text
