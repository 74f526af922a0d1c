import pandas as pd

from bench.report.reach import pairs, reach_figure, reach_rows
from bench.report.style import NAMES

SIZES = {
    "unet-64-128-256-512": 7_696_193,
    "unet-32-64-128-256": 1_925_025,
    "dmfnet": 2_211_058,
    "unet-16-32-64-128": 481_873,
    "unet-32-64-128": 465_953,
    "unet-8-16-32-64": 120_777,
    "unet-32-64": 100_961,
}


def jobs(*names):
    rows = [
        {
            "architecture": name,
            "method": method,
            "parameters": SIZES[name],
            "macs": 1e9,
            "latency_cpu_ms_p50": 3.0,
            "dice": 0.8,
            "dice_val": 0.8,
            "status": "done",
            "teacher": "unet-64-128-256-512" if method == "pm-kd" else "",
            "dataset": "liver-ct",
            "synthetic": False,
            "seg_loss": "dice-bce",
            "seed": 0,
        }
        for name in names
        for method in ("baseline", "pm-kd")
    ]
    return pd.DataFrame(rows)


def test_the_reports_students_are_paired_with_four_levels_of_their_size():
    assert pairs(jobs(*SIZES)) == [
        ("unet-32-64-128", "unet-16-32-64-128"),
        ("unet-32-64", "unet-8-16-32-64"),
    ]


def test_the_table_says_what_each_sees():
    table = reach_rows(jobs(*SIZES), NAMES)
    seen = dict(zip(table.network, table["sees, pixels"], strict=True))
    assert seen["unet-32-64"] == 18 < seen["unet-32-64-128"] < seen["unet-8-16-32-64"]
    assert seen["unet-8-16-32-64"] == seen["unet-16-32-64-128"]
    assert list(table.levels) == [3, 4, 2, 4]
    assert {"plain", "PM"} <= set(table.columns)


def test_without_a_pair_there_is_nothing():
    assert reach_rows(jobs("unet-32-64"), NAMES).empty
    assert reach_figure(jobs("unet-32-64"), NAMES) is None


def test_the_figure_has_a_panel_a_pair():
    figure = reach_figure(jobs(*SIZES), NAMES)
    assert len(figure.axes) == 2
    assert "sees 18 px" in figure.axes[1].get_legend_handles_labels()[1][0]
