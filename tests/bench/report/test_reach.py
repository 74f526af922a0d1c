import json

import pandas as pd
import pytest

from bench.report import frames
from bench.report.figures.style import Look
from bench.report.old_records import reach
from bench.report.published.reach import pairs, reach_figure, reach_rows
from bench.report.report import write_report

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
            "fold": pd.NA,
            "image_size": 96,
            "labels": "all",
            "teacher_labels": "same",
            "unlabelled": "none",
            "progress": "",
            "odd_data": (),
            **dict.fromkeys(
                ("variant", "method_parameters", "updates_asked", "slices", "drawn", "given", "plugin"), ""
            ),
            "updates": 500,
            "stride": reach(name)[0],
            "receptive_field": reach(name)[1],
        }
        for name in names
        for method in ("baseline", "pm-kd")
    ]
    return pd.DataFrame(rows).assign(source="", changed="")


def test_the_reports_students_are_paired_with_four_levels_of_their_size():
    assert pairs(jobs(*SIZES)) == [
        ("unet-32-64-128", "unet-16-32-64-128"),
        ("unet-32-64", "unet-8-16-32-64"),
    ]


def test_the_table_says_what_each_sees():
    table = reach_rows(jobs(*SIZES))
    seen = dict(zip(table.network, table["sees, pixels"], strict=True))
    assert seen["unet-32-64"] == 18 < seen["unet-32-64-128"] < seen["unet-8-16-32-64"]
    assert seen["unet-8-16-32-64"] == seen["unet-16-32-64-128"]
    assert list(table.levels) == [3, 4, 2, 4]
    assert {"plain", "PM"} <= set(table.columns)


def test_without_a_pair_there_is_nothing():
    assert reach_rows(jobs("unet-32-64")).empty
    own = jobs("unet-32-64")
    assert reach_figure(own, Look.of(own)) is None


def test_the_figure_has_a_panel_a_pair():
    own = jobs(*SIZES)
    figure = reach_figure(own, Look.of(own))
    assert len(figure.axes) == 2
    assert "sees 18 px" in figure.axes[1].get_legend_handles_labels()[1][0]


def test_what_was_measured_counts_before_what_is_known_of_old_studies(simulated):
    study = simulated.fill(seeds=1, students=1)
    simulated.measure()
    reach = ["stride", "receptive_field"]
    rows = frames.summary(study).set_index("architecture")
    assert {tuple(row) for row in rows.loc[["unet-32-64"], reach].to_numpy()} == {(2, 18)}
    profile = json.loads((study.root / "profile.json").read_text())
    for entry in profile["entries"]:
        entry |= {"stride": 4, "receptive_field": None if entry["graph"] == "unet-32-64" else 33}
    (study.root / "profile.json").write_text(json.dumps(profile))
    rows = frames.summary(study).set_index("architecture")
    assert (rows.stride == 4).all()
    assert rows.receptive_field["unet-64-128-256-512"] == 33
    assert rows.receptive_field["unet-32-64"].isna().all(), "it sees the whole image"
    assert not set(reach) & set(frames.written(frames.summary(study)).columns)


@pytest.mark.parametrize("others", [(), ("unet-32-64",)])
def test_networks_whose_reach_nobody_measured_are_reported_without_it(simulated, others, no_figures):
    """Of a study that was not profiled, or by a version that did not measure reach."""
    names = ("mynet-4-8-16", "mynet-2-4", *others)
    for name in names:
        job = simulated.add("unet-32-64", "baseline", 0)
        record = json.loads(simulated.study.path("records", job.id).read_text())
        simulated.study.path("records", job.id).unlink()
        own = simulated.job(name, "baseline", 0)
        record |= {"id": own.id, "job": own.as_dict()}
        simulated.study.plan(own)
        simulated.study.path("records", own.id).write_text(json.dumps(record))
    write_report(simulated.study, None)
    tables = simulated.study.root / "tables"
    assert set(pd.read_csv(tables / "matrix.csv").architecture) == set(names)
    assert not (tables / "reach.csv").exists()
