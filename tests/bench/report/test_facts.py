"""What stands beside the numbers: units, versions of the code, how much is done, on whom."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from bench.files.atomic import write_json
from bench.report import captions, frames
from bench.report.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")
SMALL = "unet-32-64"


def rewrite(study, edit):
    for record in study.records():
        edit(record)
        write_json(study.path("records", record["id"]), record)


def page(study):
    return json.loads((study.root / "page-data.js").read_text().removeprefix("window.benchStudy = ")[:-2])


def text(study, name):
    return " ".join((study.root / "tables" / f"{name}.md").read_text().split())


@pytest.mark.parametrize("spacing", [None, [0.8, 0.8]])
def test_distances_have_their_unit_everywhere(simulated, spacing):
    study = simulated.fill(seeds=1, students=1)
    rewrite(study, lambda record: record["dataset"].update(spacing_mm=spacing))
    unit = "mm" if spacing else "px"
    write_report(study, None)
    assert f"HD95, {unit}" in pd.read_csv(study.root / "tables" / "matrix.csv")
    assert set(pd.read_csv(study.root / "summary.csv").distance_unit) == {unit}
    assert set(pd.read_csv(study.root / "cases_val.csv").distance_unit) == {unit}
    assert page(study)["unit"] == unit


def test_volumes_of_old_records_are_in_millimetres(simulated):
    simulated.add(SMALL, "baseline", 0, spatial_dims=3, patch=(8, 8, 8))
    simulated.add(SMALL, "baseline", 0, slices="axial", patch=(8, 8))
    assert set(frames.summary(simulated.study).distance_unit) == {"mm"}


def test_an_unfinished_study_says_of_how_many(simulated, told):
    study = simulated.fill(seeds=1, students=1)
    write_report(study, None)
    assert "so far" not in text(study, "matrix") + told[-1]
    for seed in (1, 2):
        study.plan(simulated.job(SMALL, "pm-kd", seed))
    skipped = simulated.job(SMALL, "at-kd", 1)
    study.plan(skipped)
    write_json(study.path("records", skipped.id),
               {"id": skipped.id, "status": "skipped", "job": skipped.as_dict(), "reason": ""})  # fmt: skip
    failed = simulated.job(SMALL, "pm-kd", 2)
    write_json(study.path("records", failed.id),
               {"id": failed.id, "status": "failed", "reason": "x", "job": failed.as_dict()})  # fmt: skip
    write_report(study, None)
    for name in ("matrix", "report", "cost", "patients"):
        assert "so far 5 of 7 jobs" in text(study, name), name
    assert page(study)["progress"] == "5 of 7 jobs"
    assert "so far 5 of 7 jobs" in " ".join(told[-1].split())


def test_what_is_odd_about_the_data_stands_beside_the_numbers(simulated, told):
    odd = [f"images/{k}.png: of {k} cases only the image has an EXIF_orientation" for k in range(6)]
    study = simulated.fill(seeds=1, students=1)
    write_json(study.root / "study.json", {**study.settings(), "warnings": odd})
    write_report(study, None)
    said = f"Odd about the data: {'; '.join(odd[:4])}; and 2 more in study.json."
    for name in ("matrix", "report", "cost", "patients"):
        assert said in text(study, name), name
    assert said in " ".join(told[-1].split())
    assert page(study)["odd_data"] == odd
    assert "odd" not in page(study)["cautions"].casefold(), "the page has a list of them"
    assert r"EXIF\_orientation" in (study.root / "tables" / "matrix.tex").read_text()


def test_a_caption_says_no_more_seeds_or_patients_than_cells_have(simulated):
    study = simulated.fill(seeds=1, students=1)
    for seed in (1, 2):
        simulated.add(SMALL, "baseline", seed)
    assert captions.repeats(frames.summary(study)) == "1 to 3 seeds"
    job = simulated.add(SMALL, "combined", 0)
    record = study.record(job.id)
    record["val"]["rows"] = [row for row in record["val"]["rows"] if row["patient"] not in ("p3", "p4")]
    for row in record["val"]["rows"]:
        row["dice"] = None if row["patient"] == "p5" else row["dice"]
    write_json(study.path("records", job.id), record)
    write_report(study, None)
    assert "1 to 3 seeds, 19 to 22 patients" in text(study, "matrix")
    table = pd.read_csv(study.root / "tables" / "matrix.csv").set_index(["architecture", "method"])
    assert (table.seeds[SMALL, "baseline"], table.seeds[SMALL, "combined"]) == (3, 1)
    assert (table.patients[SMALL, "baseline"], table.patients[SMALL, "combined"]) == (22, 19)
    assert page(study)["tested"] == "19 to 22 patients"


def test_folds_of_few_cells_are_a_range(folded):
    folded.fill(range(4), names=("baseline",))
    folded.add(SMALL, "combined", 1)
    frame = frames.summary(folded.study)
    assert captions.repeats(frame) == "1 to 4 of 5 folds"
    assert captions.tested(frame) == "12 to 48 patients", "a fold has 12"


def test_rows_of_other_code_are_marked(simulated):
    study = simulated.fill(seeds=1, students=1)
    done = frames.summary(study).set_index(["architecture", "method"]).id

    def other(record):
        if record["id"] == done[SMALL, "combined"]:
            record["provenance"] = {"commit": "abd", "fingerprint": "f"}

    rewrite(study, other)
    write_report(study, None)
    for name in ("matrix", "cost"):
        table = pd.read_csv(study.root / "tables" / f"{name}.csv").set_index(["architecture", "method"])
        assert table.code[SMALL, "combined"] == "b", name
        assert set(table.code) == {"a", "b"}, name
    versions = {
        job["method"]: job["version"] for job in page(study)["jobs"] if job["architecture"] == SMALL
    }
    assert versions == {"baseline": "a", "pm-kd": "a", "at-kd": "a", "combined": "b"}


def test_costs_are_those_of_the_key_that_a_record_holds(simulated):
    """Also where the method is of no code that is here, with ``shown`` and in records of before it."""
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    simulated.measure()
    path = study.root / "profile.json"
    entries = json.loads(path.read_text())["entries"]
    own = {**entries[-1], "graph": f"{SMALL}+gone[x=1]", "macs": 7, "latency_ms": [0.5] * 20}
    path.write_text(json.dumps({"entries": [*entries, own]}))
    job = replace(simulated.job(SMALL, "baseline", 0), method="gone", parameters=(("x", 1),))
    plain = study.record(simulated.job(SMALL, "baseline", 0).id)
    shown = {"method": "gone", "rank": None, "changed": "", "graph": own["graph"]}
    for said in ({"shown": shown}, {}):
        write_json(study.path("records", job.id), plain | {"id": job.id, "job": job.as_dict()} | said)
        frame = frames.summary(study).set_index("method")
        row = frame[frame.architecture == SMALL].loc["gone"]
        assert (row.macs, row.latency_cpu_ms_p50) == (7, 0.5)
        assert row.changed_after_training
    path.write_text(json.dumps({"entries": entries}))
    frame = frames.summary(study).set_index("method")
    assert pd.isna(frame.macs["gone"]), "not measured is not the plain network's"
    assert not frame[frame.architecture == SMALL].changed_after_training["baseline"]
    write_report(study, None)
    assert page(study)["jobs"][-1].get("changed_after_training", True)
