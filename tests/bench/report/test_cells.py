"""What is compared with what: case by case, and slices of volumes never with the volumes."""

import json

import pandas as pd
import pytest
from samples import change_record

from bench.report import frames
from bench.report.captions import cautions
from bench.report.comparisons import comparisons
from bench.report.report import write_report

SMALL, TEACHER = "unet-32-64", "unet-64-128-256-512"
TABLES = ("recipes", "cost", "classes", "patients")


def gain(study, method="combined"):
    done, cases = frames.summary(study), frames.cases(study, "val")
    compared = comparisons(done, cases)
    return compared[(compared.method == method) & (compared.against == "baseline")].squeeze()


def lose(study, job, case):
    """Both masks of a case are empty: it has no Dice."""

    def empty(record):
        for row in record["val"]["rows"]:
            if row["case"] == case:
                row["dice"] = None

    change_record(study, job.id, empty)


def test_a_case_that_one_network_has_no_dice_for_makes_no_gain(simulated):
    """Every network finds half of case 0 and all of case 1; the distilled one leaves case 0 empty."""
    simulated.patients, simulated.cases = 12, 2
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    for job in study.jobs():
        path = study.path("records", job.id)
        record = json.loads(path.read_text())
        level = {"baseline": 0.0, "combined": 0.03}[job.method] + 0.1 * (job.architecture == TEACHER)
        for row in record["val"]["rows"]:
            row["dice"] = 0.5 + level if row["case"].endswith("_0") else 0.86 + level
        path.write_text(json.dumps(record))
    for patient in range(12):
        lose(study, simulated.job(SMALL, "combined", 0), f"p{patient}_0")
    found = gain(study)
    assert found.difference == pytest.approx(0.03), "not (0.89 − 0.68) = 0.21"
    assert found.patients == 12
    assert found.gap_closed == pytest.approx(0.3), "of the cases that all three have"
    job = frames.summary(study).set_index(["architecture", "method"])
    assert job.gap_closed[SMALL, "combined"] == pytest.approx(0.3)


def test_patients_of_no_common_case_are_left_out(simulated):
    simulated.patients, simulated.cases = 12, 2
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    lose(study, simulated.job(SMALL, "baseline", 0), "p3_0")
    lose(study, simulated.job(SMALL, "combined", 0), "p3_1")
    assert gain(study).patients == 11


@pytest.fixture
def sliced(simulated):
    """Volumes and their slices, one network each way, two classes; every job has its own level."""
    simulated.patients = 12
    volumes = {"spatial_dims": 3, "patch": (16, 16, 16), "in_channels": 1}
    for method, effects in (("baseline", (0.0, -0.3)), ("combined", (0.02, -0.2))):
        simulated.add(SMALL, method, 0, effect=effects[0], teachers=(), **volumes)
        simulated.add(SMALL, method, 0, effect=effects[1], teachers=(), slices="axial", patch=(16, 16))
    study = simulated.study
    for record in study.records():
        for row in record["val"]["rows"]:
            row |= {"dice_left": row["dice"], "dice_right": row["dice"]}
        study.path("records", record["id"]).write_text(json.dumps(record))
    return study


def test_slices_are_compared_with_slices(sliced):
    done, cases = frames.summary(sliced), frames.cases(sliced, "val")
    compared = comparisons(done, cases).set_index(["method", "slices", "against"]).difference
    assert compared["combined", "", "baseline"] == pytest.approx(0.02, abs=0.01)
    assert compared["combined", "axial", "baseline"] == pytest.approx(0.10, abs=0.01)


def test_what_is_said_of_a_network_says_whether_it_saw_slices(sliced):
    for record in sliced.records():
        if record["job"]["slices"]:
            record["predicts"] = "everything"
            sliced.path("records", record["id"]).write_text(json.dumps(record))
    both = [f"{SMALL} {method} on axial slices" for method in ("baseline", "combined")]
    done = frames.summary(sliced)
    assert f"On all validation cases {', '.join(both)} predicted everything." in cautions(done)
    alone = cautions(done[done.slices == "axial"])
    assert f"On all validation cases {SMALL} baseline, {SMALL} combined predicted everything." in alone


def test_nothing_of_slices_vanishes_or_is_averaged_in(sliced, told):
    write_report(sliced, None, [record["id"] for record in sliced.records()])
    table = {name: pd.read_csv(sliced.root / "tables" / f"{name}.csv") for name in (*TABLES, "matrix")}
    levels = frames.summary(sliced).set_index(["method", "slices"]).dice_val
    assert len(table["matrix"]) == 2
    assert list(table["recipes"]["method"]) == ["baseline", "combined"], "the main table has the volumes"
    assert table["recipes"]["Dice (validation)"].tolist() == pytest.approx(
        [round(levels[method, "axial"], 3) for method in ("baseline", "combined")]
    )
    for name in ("cost", "classes", "patients"):
        assert set(table[name]["sees"]) == {"volumes", "axial slices"}, name
    assert len(table["patients"]) == 24
    captions = {name: (sliced.root / "tables" / f"{name}.md").read_text() for name in ("matrix", "recipes")}
    assert "liver-ct (96², axial slices)" in captions["recipes"]
    assert "axial" not in captions["matrix"]
    figures = {path.stem for path in (sliced.root / "figures").glob("*.png")}
    assert {"dice_by_method", "dice_by_method_axial", "gain_by_size_axial"} <= figures
    rows = [line for line in told[-1].splitlines() if line.startswith(SMALL)]
    assert len(rows) == 4
    assert not any("±" in row for row in rows)
    page = json.loads((sliced.root / "page-data.js").read_text().removeprefix("window.benchStudy = ")[:-2])
    assert sorted(job["sees"] for job in page["jobs"]) == 2 * ["axial slices"] + 2 * ["volumes"]
    assert {job["spatial_dims"] for job in page["jobs"]} == {2, 3}
