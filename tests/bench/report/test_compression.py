"""The table of what was made from trained networks, on records of a known truth."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.report import frames
from bench.report.figures.figures import write_figures_of_made
from bench.report.figures.made import dice_against_cost_of_made
from bench.report.figures.style import Look
from bench.report.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")
TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"


def made(simulated, source, recipe, loss, **more):
    """A job converted from ``source``, whose Dice is lower by ``loss`` in every case."""
    job = replace(
        source, method="int8", parameters=(("samples", 300),), source=source.id, teachers=(), recipe=recipe
    )
    study = simulated.study
    record = json.loads(study.path("records", source.id).read_text())
    rows = [{**row, "dice": row["dice"] - loss} for row in record["val"]["rows"]]
    scores = {**record["val"], "rows": rows, "dice": record["val"]["dice"] - loss}
    shown = {"method": "INT8", "rank": 8, "changed": "", "graph": f"{source.architecture} openvino int8",
             "recipe": recipe}  # fmt: skip
    record |= {"id": job.id, "job": job.as_dict(), "val": scores, "curves": [], "best_epoch": None}
    record |= {"shown": shown, "artefact": {"runtime": "openvino", "precision": "int8"}, **more}
    record["cost"] = {"parameters": 100, "size_mb": 0.1, "seconds": {"converting": 5.0}}
    study.plan(job)
    study.path("records", job.id).write_text(json.dumps(record))
    return job


def unfolded(figure):
    """A figure's title as one line."""
    return " ".join(figure.get_suptitle().split())


@pytest.fixture
def study(simulated):
    simulated.fill(seeds=1)
    jobs = {(job.architecture, job.method): job for job in simulated.study.jobs()}
    made(simulated, jobs[SMALL, "baseline"], "baseline > int8", 0.002)
    made(simulated, jobs[SMALL, "at-kd"], "at-kd > int8", 0.03)
    made(simulated, jobs[TEACHER, "baseline"], "baseline > int8", -0.001, predicts="nothing")
    simulated.measure()
    profile = json.loads((simulated.study.root / "profile.json").read_text())
    base = profile["entries"][-1]
    for threads, milliseconds in ((1, 2.0), (2, 1.5)):
        own = {"graph": f"{SMALL} openvino int8", "threads": threads, "latency_ms": [milliseconds] * 20}
        profile["entries"].append(base | own | {"busy": threads == 1})
        profile["entries"].append(base | own | {"side": 256, "latency_ms": [milliseconds * 5] * 20})
    (simulated.study.root / "profile.json").write_text(json.dumps(profile))
    return simulated.study


def test_the_drop_is_paired_with_the_source(study):
    frame = frames.summary(study).set_index(["architecture", "recipe"])
    assert frame.loc[(SMALL, "baseline > int8"), "dice_drop"] == pytest.approx(0.002)
    assert frame.loc[(TEACHER, "baseline > int8"), "dice_drop"] == pytest.approx(-0.001)
    assert frame.dice_drop.notna().sum() == 3
    row = frame.loc[SMALL, "baseline > int8"]
    assert (row.latency_cpu_1_ms_p50, row.latency_cpu_ms_p50) == (2.0, 1.5)
    assert np.isnan(frame.loc[(TEACHER, "baseline > int8"), "latency_cpu_ms_p50"]), (
        "its own was not measured"
    )


def test_a_row_a_recipe_and_what_may_be_said_of_it(study):
    write_report(study, None)
    table = pd.read_csv(study.root / "tables" / "compression.csv").set_index(["network", "recipe"])
    small = table.loc[SMALL, "baseline > int8"]
    assert small["Δ source, points [95 % CI]"].startswith("-0.20")
    assert small["as good as source"] == "yes"
    assert table.loc[(SMALL, "at-kd > int8"), "as good as source"] == "no"
    assert pd.isna(table.loc[(SMALL, "baseline"), "as good as source"])
    assert (small["runtime"], small["precision"]) == ("openvino", "int8")
    assert small["ms, 256², 1 thread"] == 10
    assert small["frames/s, 256²"] == 100
    plain = table.loc[SMALL, "baseline"]
    assert small["made in, s"] == pytest.approx(plain["made in, s"] + 5, abs=1)
    taught = table.loc[SMALL, "at-kd"]
    assert taught["made in, s"] > plain["made in, s"] + 800, "its teacher counts"
    parts = [f"of it {part}, s" for part in ("training", "converting", "teacher")]
    for row in (small, plain, taught):
        assert row[parts].sum() == pytest.approx(row["made in, s"], abs=1)
    assert small["of it converting, s"] == 5
    assert taught["of it teacher, s"] > 800
    assert plain["of it teacher, s"] == 0
    text = (study.root / "tables" / "compression.md").read_text()
    assert "int8 predicted nothing." in text
    assert "Others used the machine" in text


def test_a_loss_is_named_where_there_are_several(study):
    write_report(study, None)
    assert "L_seg" not in pd.read_csv(study.root / "tables" / "compression.csv")
    job = next(j for j in study.jobs() if j.architecture == SMALL and j.recipe == "baseline > int8")
    source = study.job(job.source)
    weak = replace(source, seg_loss="bce")
    record = json.loads(study.path("records", source.id).read_text())
    study.plan(weak)
    study.path("records", weak.id).write_text(json.dumps(record | {"id": weak.id, "job": weak.as_dict()}))
    write_report(study, None)
    table = pd.read_csv(study.root / "tables" / "compression.csv")
    assert set(table.L_seg[(table.network == SMALL) & (table.recipe == "baseline")]) == {"bce", "dice-bce"}


def test_tables_of_training_know_trained_networks_alone(study):
    before = study.root / "tables"
    write_report(study, None)
    with_made = {path.name: path.read_bytes() for path in before.glob("*.md")}
    for job in study.jobs():
        if job.source:
            study.path("records", job.id).unlink()
            study.path("jobs", job.id).unlink()
    for path in before.glob("*"):
        path.unlink()
    write_report(study, None)
    trained = {path.name: path.read_bytes() for path in before.glob("*.md")}
    assert with_made.keys() - trained.keys() == {"compression.md"}
    assert all(with_made[name] == content for name, content in trained.items())


def test_the_figure_has_what_was_made_beside_what_was_trained(study):
    done = frames.summary(study)
    written = write_figures_of_made(study.root, done)
    assert [path.name for path in written] == ["compression.png", "compression.pdf"]
    figure = dice_against_cost_of_made(done, Look.of(done))
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"as trained", "int8", SMALL, TEACHER} <= named
    drawn = [line for line in figure.axes[0].lines if line.get_marker() == Look.of(done).marker[SMALL]]
    at_one_thread = {float(line.get_xdata()[0]) for line in drawn if line.get_alpha() is None}
    assert at_one_thread == {2.0}, "only INT8 was measured on one thread"
    assert {line.get_markerfacecolor() == "none" for line in drawn} == {True, False}, "distilled is filled"
    assert "filled: distilled" in figure.get_suptitle()


def test_the_figure_says_where_signs_are_of_other_folds(simulated):
    for fold in range(2):
        source = simulated.add(SMALL, "baseline", 0, fold=fold)
    made(simulated, source, "baseline > int8", 0.002)
    simulated.measure()
    done = frames.summary(simulated.study)
    assert "not all signs are of the same folds" in unfolded(dice_against_cost_of_made(done, Look.of(done)))


def test_no_figure_where_nothing_was_made(simulated):
    simulated.fill(seeds=1)
    assert write_figures_of_made(simulated.study.root, frames.summary(simulated.study)) == []


def test_what_is_only_converted_is_not_under_trained(study):
    for path in study.all("records"):
        record = json.loads(path.read_text())
        record["cost"]["updates"] = 500 if record["curves"] else 0
        path.write_text(json.dumps(record))
    write_report(study, None)
    text = (study.root / "tables" / "compression.md").read_text()
    assert "Under-trained" not in text
    assert "500 updates a job" in text


def test_int8_of_two_kinds_of_processors_is_said(study):
    for number, path in enumerate(sorted(study.root.glob("records/*.json"))):
        record = json.loads(path.read_text())
        if "int8" in record.get("shown", {}).get("recipe", ""):
            record["artefact"]["facts"] = {"instruction_set": f"AVX{number}"}
            path.write_text(json.dumps(record))
    write_report(study, None)
    text = " ".join((study.root / "tables" / "compression.md").read_text().split())
    assert "INT8 of processors with AVX" in text
