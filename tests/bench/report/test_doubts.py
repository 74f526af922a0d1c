"""Cells that compare nothing are named in the captions, and nothing is claimed of them."""

import json

import pandas as pd
import pytest
from samples import change_record

from bench.report import frames
from bench.report.captions import cautions_of_jobs
from bench.report.comparisons import comparisons, leaders
from bench.report.doubts import doubts
from bench.report.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")
SMALL = "unet-32-64"
NAMED = tuple(f"{SMALL}:{method}" for method in ("pm-kd", "at-kd", "combined"))


def verdicts(study):
    done, cases = frames.summary(study), frames.cases(study, "test")
    compared = comparisons(done, cases, study.contrasts())
    own = compared[compared.against == "baseline"].set_index("method").verdict
    return own.to_dict(), {cell.method for cell in leaders(done, cases)}


def captions(study):
    return " ".join((study.root / "tables" / "matrix.md").read_text().split())


def test_without_doubts_a_study_says_nothing_of_them(folded):
    study = folded.name(*NAMED).fill().study
    assert verdicts(study) == (
        {"pm-kd": "not significant", "at-kd": "harm", "combined": "gain"},
        {"combined"},
    )
    write_report(study, None)
    assert "Compare nothing" not in captions(study)


def test_a_doubtful_cell_is_told_from_others_of_its_method(simulated):
    for labels, harm in ((4, -0.6), (8, 0.0), (None, 0.0)):
        for method in ("baseline", "pm-kd"):
            simulated.add(SMALL, method, 0, labels=labels, effect=harm if method == "pm-kd" else 0.0)
    simulated.add(SMALL, "at-kd", 0, effect=-0.6)
    text = cautions_of_jobs(frames.summary(simulated.study))
    assert f"Compare nothing, for less than half of the best Dice: {SMALL}:at-kd." not in text
    assert f"{SMALL}:pm-kd 4 labels" in text
    assert f"{SMALL}:at-kd" in text
    assert "8 labels" not in text


def test_few_updates_of_one_side_claim_nothing(folded):
    study = folded.name(*NAMED).fill().study
    folded.add(SMALL, "combined", 2, made=80)
    found, best = verdicts(study)
    assert found == {
        "pm-kd": "not significant",
        "at-kd": "harm",
        "combined": "none (fewer than 100 updates)",
    }
    assert "combined" not in best
    folded.add(SMALL, "baseline", 2, made=80)
    assert set(verdicts(study)[0].values()) == {"none (fewer than 100 updates)"}


def test_few_patients_compare_nothing(folded):
    folded.simulated.patients = 9
    study = folded.name(*NAMED).fill().study
    assert set(verdicts(study)[0].values()) == {"none (fewer than 10 patients)"}
    write_report(study, None)
    assert "Compare nothing, for fewer than 10 patients: all cells." in captions(study)
    assert "9 patients" in captions(study)


def test_a_student_far_below_the_best_compares_nothing(folded):
    study = folded.name(*NAMED).fill(names=("baseline", "pm-kd")).study
    for fold in range(5):
        folded.add(SMALL, "combined", fold, effect=-0.4)
    assert verdicts(study)[0]["combined"] == "none (less than half of the best Dice)"
    write_report(study, None)
    said = f"Compare nothing, for less than half of the best Dice: {SMALL}:combined."
    assert said in captions(study)
    assert said in json.loads((study.root / "page-data.js").read_text().split(" = ", 1)[1][:-2])["cautions"]


def test_what_is_of_no_use_compares_nothing_even_if_nothing_is_better(folded):
    for fold in range(5):
        for method in ("baseline", "pm-kd"):
            folded.add(SMALL, method, fold, effect=-0.6, teachers=())
    found = doubts(frames.summary(folded.study))
    assert found
    assert all("Dice below 0.3, of no use" in reasons for reasons in found.values())


def test_a_cell_without_a_score_hides_no_doubt(folded):
    networks = (SMALL, "unet-32-64-128", "unet-32-64-128-256")
    done = frames.summary(folded.fill(networks=networks, names=("baseline",)).study)
    levels = {SMALL: None, "unet-32-64-128": 0.35, "unet-32-64-128-256": 0.8}
    done = done.assign(dice=None, dice_val=done.architecture.map(levels).astype(float))
    reasons = {cell.architecture: own for cell, own in doubts(done).items()}
    assert "less than half of the best Dice" in reasons["unet-32-64-128"]
    assert "less than half of the best Dice" not in reasons["unet-32-64-128-256"]


def curve(dice, loss):
    return [
        {"epoch": k + 1, "dice_val": d, "loss": s} for k, (d, s) in enumerate(zip(dice, loss, strict=True))
    ]


FALLING = [1 / (k + 1) for k in range(20)]


def test_a_validation_that_falls_while_the_loss_falls_is_said(folded):
    study = folded.name(*NAMED).fill().study
    done = frames.summary(study)
    [job] = done.id[(done.method == "at-kd") & (done.fold == 1)]
    change_record(study, job, lambda record: record.update(curves=curve([0.5, 0.8, *[0.4] * 18], FALLING)))
    found, _ = verdicts(study)
    assert found["at-kd"] == "none (validation Dice falls while the loss falls)"
    assert found["combined"] == "gain"
    write_report(study, None)
    assert f"Compare nothing, for validation Dice falls while the loss falls: {SMALL}:at-kd." in captions(
        study
    )
    table = pd.read_csv(study.root / "tables" / "matrix.csv").set_index(["architecture", "method"])
    assert table.claim[SMALL, "at-kd"].startswith("none")
