"""The report on records made by hand, so that every number in it is known."""

import json

import pandas as pd
import pytest

import methods
from bench.files.atomic import write_json
from bench.job import Job
from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.figures.cases import pick_cases
from bench.report.published.numbers import REPORT
from bench.report.published.table import report_table
from bench.report.report import write_report
from bench.report.standard import standard
from bench.report.tables.markup import Table
from bench.report.tables.matrix import GAIN, matrix_table, recipes_table
from bench.report.tables.writing import write_table
from bench.scoring import latency
from bench.scoring.latency import Rounds, latencies
from bench.study.store import Study

NETWORKS = {"unet-64-128-256-512": 7_696_193, "unet-8-16-32-64": 120_681, "unet-32-64": 100_961}


def make_record(study, architecture, method, seed, dice, part="val", seg_loss="dice-bce"):
    job = Job(
        dataset="liver-ct", data="d", split="s", spatial_dims=2, in_channels=1, out_channels=1,
        image_size=96, architecture=architecture, method=method,
        parameters=tuple(sorted(methods.parameters(methods.build(method)).items())), seg_loss=seg_loss,
        seed=seed, teachers=(), threads=2, precision="fp32", compiled=True,
    )  # fmt: skip
    scores = {
        "dice": dice,
        "dice_slice": dice,
        "precision": dice,
        "sensitivity": dice,
        "hd95": 3.0,
        "nsd": 0.5,
    }
    rows = [{"case": f"c{k}", "patient": f"p{k}", **scores, "dice": dice + 0.01 * k} for k in (-1, 0, 1)]
    curve = [{"epoch": e, "seg": 1 / e, "loss": 1 / e, "dice_val": dice} for e in range(1, 21)]
    record = {
        "id": job.id, "status": "done", "job": job.as_dict(), "curves": curve, "best_epoch": 20,
        "dice_val_last": dice, "val": {**scores, "rows": rows},
        "cost": {"parameters": NETWORKS[architecture], "size_mb": 1.0, "train_seconds": 60.0,
                 "peak_memory_train_mb": 500.0},
        "dataset": {"synthetic": False, "train_patients": 80}, "provenance": {"commit": "abc"},
    }  # fmt: skip
    if part == "test":
        record["test"] = record["val"]
    study.plan(job)
    write_json(study.path("records", job.id), record)
    return job


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "liver-ct")
    study.create({"device": "cpu"}, synthetic=False)
    for seed in (0, 1):
        make_record(study, "unet-64-128-256-512", "baseline", seed, 0.80 + 0.02 * seed)
        make_record(study, "unet-32-64", "baseline", seed, 0.70 + 0.02 * seed)
        make_record(study, "unet-32-64", "combined", seed, 0.74 + 0.02 * seed)
    return study


def compared(study):
    frame, cases = frames.summary(study), frames.cases(study, "val")
    done = frame[frame.status == "done"]
    return done, cases, comparisons(done, cases)


def test_the_full_matrix_table(study):
    made = matrix_table(*compared(study), frames.latency(study))
    table = made.frame
    assert "validation scores, 2 seeds" in made.caption
    row = table[(table.architecture == "unet-32-64") & (table.method == "combined")].iloc[0]
    assert row["Dice (validation)"] == "0.750 ± 0.014"
    assert row[GAIN] == "+4.0", "and no interval: three patients are too few"
    assert row.parameters == "100,961 (÷76.2)"
    assert len(row.record.split()) == 2, "every number leads to its runs"


def test_the_reports_table_stands_beside_ours(study):
    done, _, differences = compared(study)
    made = report_table(done, differences)
    table = made.frame
    assert "other data and split: compare gains, not levels" in made.caption
    row = table[table.network == "unet-32-64"].iloc[0]
    assert row["gain, points [95 % CI]"] == "+4.0"
    assert row["report: gain"] == "+9.4"
    assert row["report: plain"] == REPORT["unet-32-64"].plain == 0.3767
    assert list(table.network) == ["unet-64-128-256-512", "unet-32-64"]


def test_networks_that_the_report_has_not_are_not_in_its_caption(study):
    before = report_table(*compared(study)[::2]).caption
    for seed in (0, 1, 2):
        make_record(study, "unet-8-16-32-64", "baseline", seed, 0.8)
    done, _, differences = compared(study)
    assert report_table(done, differences).caption == before
    done = done[done.architecture == "unet-8-16-32-64"]
    assert not len(report_table(done, differences).frame)


def test_a_study_without_test_scores_says_validation_everywhere(study):
    write_report(study, None)
    assert pd.read_csv(study.root / "summary.csv").dice.isna().all()
    assert len(pd.read_csv(study.root / "cases.csv")) == 0
    assert len(pd.read_csv(study.root / "cases_val.csv")) == 18
    for name in ("matrix", "report"):
        assert "validation" in (study.root / "tables" / f"{name}.md").read_text()
    assert (study.root / "figures" / "learning_curves.png").is_file()
    assert not (study.root / "figures" / "cases.png").exists()


def test_one_job_without_test_scores_keeps_the_table_on_validation(study):
    make_record(study, "unet-32-64", "pm-kd", 0, 0.7, part="test")
    assert frames.score_column(frames.summary(study)) == ("dice_val", "validation")


def test_failed_jobs_are_in_the_summary_and_not_in_the_tables(study):
    job = make_record(study, "unet-32-64", "at-kd", 0, 0.5)
    record = {"id": job.id, "status": "failed", "reason": "out of memory", "job": job.as_dict()}
    write_json(study.path("records", job.id), record)
    frame = frames.summary(study)
    assert frame[frame.method == "at-kd"].reason.item() == "out of memory"
    assert "at-kd" not in set(matrix_table(*compared(study), frames.latency(study)).frame.method)


def test_weak_recipe_gains_are_against_the_weak_baseline(study):
    for method, dice in (("baseline", 0.5), ("combined", 0.6)):
        make_record(study, "unet-32-64", method, 0, dice, seg_loss="bce")
    everything = compared(study)
    assert len(matrix_table(*everything, frames.latency(study)).frame) == 3, "the weak recipe stands apart"
    weak = recipes_table(*everything).frame
    assert weak[weak.method == "combined"][GAIN].item() == "+10.0"


def test_latex_and_markdown_escape_what_they_are_given(tmp_path):
    table = pd.DataFrame({"a_b": ["x_1 & 50 % | {y}"]})
    write_table(tmp_path, Table("t", "100 % of a_b ± 1", table))
    latex = (tmp_path / "t.tex").read_text()
    assert "\\toprule" in latex
    assert r"x\_1 \& 50 \% \textbar{} \{y\}" in latex
    assert "100 \\% of a\\_b $\\pm$ 1" in latex
    assert "x_1 & 50 % \\| {y}" in (tmp_path / "t.md").read_text()


def test_cases_are_picked_by_rule():
    dice = {"a": [0.9, 0.95], "b": [0.5, 0.7], "c": [0.1, 0.3, 0.21]}
    rows = [
        {"patient": p, "case": f"{p}{k}", "dice": value}
        for p, v in dice.items()
        for k, value in enumerate(v)
    ]
    picked = dict(pick_cases(pd.DataFrame(rows)))
    assert picked["worst patient"] == "c2"
    assert picked["best patient"][0] == "a"
    assert picked["median patient"][0] == "b"


def test_latencies_take_turns_until_both_limits_are_met():
    calls = []
    values = latencies(
        [lambda: calls.append("a"), lambda: calls.append("b")], threads=1, repeats=5, seconds=0.0
    )
    assert [len(v) for v in values] == [5, 5]
    assert calls[4:] == ["a", "a", "b", "b"] * 5, "in turn after the warm-up, each after an untimed one"


def test_long_calls_need_no_untimed_one_before_each(monkeypatch):
    monkeypatch.setattr(latency, "LONG", 0.0)
    calls = []
    latencies([lambda: calls.append("a")], threads=1, repeats=5, seconds=0.0)
    assert len(calls) == latency.WARM_UP + 1 + 5


def test_long_rounds_of_latencies_are_told_now_and_then(monkeypatch, told):
    clock = iter(range(0, 1000, 4))
    tell = Rounds("cpu", lambda: next(clock))
    latencies([lambda: None] * 3, threads=1, repeats=7, seconds=0.0, tell=tell)
    assert told == [
        f"profiling on cpu: latency, round {k} of at least 20, 3 measurements left" for k in (3, 6)
    ]


def test_the_profile_keeps_raw_values(study):
    entry = {
        "architecture": "unet-32-64", "graph": "unet-32-64", "side": 96, "shape": [1, 1, 96, 96],
        "device": "cpu", "threads": 2, "precision": "fp32", "backend": "torch", "parameters": 100961,
        "macs": 1000, "size_mb": 0.4, "peak_memory_mb": 20.0, "machine": {"cpu": "x", "gpu": None},
        "latency_ms": [1.0, 2.0, 3.0],
    }  # fmt: skip
    (study.root / "profile.json").write_text(json.dumps({"entries": [entry]}))
    frame = frames.summary(study)
    row = frame[frame.architecture == "unet-32-64"].iloc[0]
    assert (row.latency_cpu_ms_p50, row.macs, row.flops) == (2.0, 1000, 2000)
    assert frames.latency(study).frames_per_second.item() == 500


def test_figures_compare_default_cells_with_the_largest_teacher(study):
    frame = frames.summary(study)
    frame["teacher"] = ["" if m == "baseline" else "unet-64-128-256-512" for m in frame.method]
    other = frame[frame.method == "combined"].assign(teacher="unet-32-64")
    tuned = frame[frame.method == "combined"].assign(
        method_parameters="temperature=2", changed="[temperature=2]"
    )
    kept = standard(pd.concat([frame, other, tuned]))
    assert len(kept) == len(frame)
    assert set(kept.teacher) == {"", "unet-64-128-256-512"}


def test_a_report_ends_with_its_table_and_a_matrix_with_its_own_cells(study, told, no_figures):
    write_report(study, None)
    whole = told[-1]
    assert "the report's" in whole
    assert "0.377 → 0.471" in " ".join(told[-1].split())
    asked = [record["id"] for record in study.records() if record["job"]["architecture"] == "unet-32-64"]
    write_report(study, None, asked)
    assert "the report's" not in told[-1], "the teacher was not asked for"
    rows = [line.split() for line in told[-1].splitlines() if line.startswith("unet-32-64 ")]
    assert [(row[1], row[2]) for row in rows] == [("baseline", "0.710"), ("combined", "0.750")]
    assert max(len(line) for text in (whole, told[-1]) for line in text.splitlines()) <= 100
    assert "\x1b" not in told[-1]
