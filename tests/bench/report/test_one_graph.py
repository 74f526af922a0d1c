"""The table of ways to one graph, on records of a known truth."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from bench.report import frames
from bench.report.report import write_report
from bench.report.tables.one_graph import updates_of_all_rounds

pytestmark = pytest.mark.usefixtures("no_figures")

TEACHER, HALF = "unet-64-128-256-512", "unet-32-64-128-256"
SIZE = 1_925_025


def second_round(simulated, source, step, parameters, gain, updates=500):
    """A job that was made from ``source`` and trained on; Dice higher by ``gain`` in every case."""
    before = json.loads(simulated.study.path("records", source.id).read_text())
    recipe = f"{before.get('shown', {}).get('recipe') or source.method} > {step}"
    job = replace(
        source, method=step.partition("[")[0], parameters=parameters, source=source.id, teachers=(),
        recipe=recipe,
    )  # fmt: skip
    rows = [{**row, "dice": row["dice"] + gain} for row in before["val"]["rows"]]
    shown = {"method": "x", "rank": 9, "changed": "", "graph": f"g{gain}", "recipe": recipe}
    cost = before["cost"] | {"parameters": SIZE, "updates": updates}
    scores = before["val"] | {"rows": rows, "dice": before["val"]["dice"] + gain}
    record = before | {"id": job.id, "job": job.as_dict(), "shown": shown, "cost": cost, "val": scores}
    simulated.study.plan(job)
    simulated.study.path("records", job.id).write_text(json.dumps(record))
    return job


@pytest.fixture
def study(simulated):
    jobs = [simulated.add(TEACHER, "baseline", 0, effect=0.0)]
    jobs += [simulated.add(HALF, method, 0) for method in ("baseline", "at-kd")]
    for job in jobs:
        path = simulated.study.path("records", job.id)
        record = json.loads(path.read_text())
        record["cost"]["updates"] = 500
        path.write_text(json.dumps(record))
    teacher, plain, _ = jobs
    ratio = ("ratio", 0.5)
    second_round(simulated, plain, "continue", (), 0.01)
    second_round(simulated, teacher, "prune", (("init", "source"), ratio), -0.005)
    fresh = (("init", "fresh"), ratio)
    second_round(simulated, teacher, "prune[init=fresh]", fresh, -0.03, updates=1000)
    return simulated.study


def test_pruned_distilled_and_plain_at_equal_updates(study):
    write_report(study, None)
    table = pd.read_csv(study.root / "tables" / "one_graph.csv", dtype=str)
    rows = table.set_index(["updates", "from", "recipe"])
    assert [tuple(key) for key in rows.index] == [
        ("500", HALF, "baseline"),
        ("500", HALF, "at-kd"),
        ("1,000", HALF, "baseline > continue"),
        ("1,000", TEACHER, "baseline > prune"),
        ("1,000", TEACHER, "baseline > prune[init=fresh]"),
    ]
    dice = frames.summary(study).set_index("recipe").dice_val
    gain = rows["Δ plain, points [95 % CI, these networks]"]
    plain = frames.summary(study).set_index(["architecture", "recipe"]).dice_val[HALF, "baseline"]
    expected = 100 * (dice["baseline > prune"] - (plain + 0.01))
    assert float(gain["1,000", TEACHER, "baseline > prune"].split()[0]) == pytest.approx(expected, abs=0.01)
    assert "[" in gain["500", HALF, "at-kd"]
    assert pd.isna(gain["500", HALF, "baseline"])
    assert pd.isna(gain["1,000", HALF, "baseline > continue"])


def test_another_learning_rate_is_another_way_and_no_reference(simulated):
    for rate in (None, 0.003):
        simulated.add(HALF, "baseline", 0, learning_rate=rate)
    plain = simulated.add(TEACHER, "baseline", 0)
    second_round(simulated, plain, "prune", (("init", "source"), ("ratio", 0.5)), -0.005, updates=0)
    write_report(simulated.study, None)
    table = pd.read_csv(simulated.study.root / "tables" / "one_graph.csv", dtype=str)
    gain = table.set_index(["from", "recipe"])["Δ plain, points [95 % CI, these networks]"]
    assert pd.isna(gain[HALF, "baseline"])
    assert "[" in gain[HALF, "baseline[learning_rate=0.003]"]


def test_weights_that_begin_anew_have_seen_no_update_of_their_source(study):
    frame = frames.summary(study)
    total = dict(
        zip(zip(frame.architecture, frame.recipe, strict=True), updates_of_all_rounds(frame), strict=True)
    )
    assert total[TEACHER, "baseline > prune"] == 1000 == total[TEACHER, "baseline > prune[init=fresh]"]
    assert total[HALF, "at-kd"] == 500


def test_no_table_where_no_graph_is_shared(simulated):
    simulated.fill(seeds=1)
    write_report(simulated.study, None)
    assert not (simulated.study.root / "tables" / "one_graph.csv").exists()


def test_other_macs_are_another_graph(study):
    graphs = frames.summary(study).set_index("recipe").graph
    entries = [
        {"architecture": HALF, "graph": graph, "side": 96, "shape": [1, 1, 96, 96], "device": "cpu",
         "threads": 2, "precision": "fp32", "backend": "torch", "parameters": SIZE, "macs": macs,
         "size_mb": 1.0, "peak_memory_mb": 20.0, "machine": {"cpu": "x", "gpu": None},
         "latency_ms": [2.0] * 20}
        for macs, graph in enumerate(sorted(set(graphs)), 1000)
    ]  # fmt: skip
    (study.root / "profile.json").write_text(json.dumps({"entries": entries}))
    write_report(study, None)
    assert not (study.root / "tables" / "one_graph.csv").exists()
