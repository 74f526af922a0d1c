"""What tables, figures, page and terminal say of a study's folds and updates, and of what was claimed."""

import re

import pandas as pd
import pytest

from bench.files.atomic import write_json
from bench.report import captions, frames
from bench.report.figures.style import heading
from bench.report.report import write_report
from bench.report.tables.matrix import GAIN

pytestmark = pytest.mark.usefixtures("no_figures")

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"
NAMED = tuple(f"{SMALL}:{method}" for method in ("pm-kd", "at-kd", "combined"))


def text(study, name):
    return " ".join((study.root / "tables" / f"{name}.md").read_text().split())


def test_two_of_five_folds_are_said_everywhere(folded, told):
    study = folded.name(*NAMED).fill(range(2)).study
    write_report(study, None)
    for name in ("matrix", "report", "cost", "patients"):
        assert "2 of 5 folds, 500 updates a job" in text(study, name), name
    assert "2 folds: too few for a claim" in text(study, "matrix")
    assert "none (2 folds)" in text(study, "matrix")
    assert "2 of 5 folds" in told[-1]
    assert '"repeats":"2 of 5 folds"' in (study.root / "page-data.js").read_text()
    assert "2 of 5 folds" in heading(frames.summary(study))


def test_the_smallest_gain_stands_beside_the_tables(folded, told):
    study = folded.name(*NAMED).fill().study
    write_report(study, None)
    compared = pd.read_csv(study.root / "comparisons.csv")
    smallest = 100 * compared.smallest.dropna()
    assert len(smallest) == 3
    said = f"could have been claimed: {smallest.min():.1f} to {smallest.max():.1f} points."
    assert said in text(study, "matrix")
    [ours] = 100 * compared.smallest[compared.contrast & (compared.method == "combined")]
    for where in (text(study, "report"), " ".join(told[-1].split())):
        assert f"could have been claimed: {ours:.1f} points." in where


def test_what_came_later_takes_no_claim_from_those_that_were_named(folded):
    """One method has three of five folds: of it nothing is claimed, of the others it is as it was."""
    study = folded.name(f"{SMALL}:combined").fill(names=("baseline", "combined")).study
    write_report(study, None)
    before = re.search(r"could have been claimed: [\d.]+ points\.", text(study, "matrix")).group()
    for fold in range(3):
        folded.add(SMALL, "pm-kd", fold)
    write_report(study, None)
    after = text(study, "matrix")
    assert before in after
    assert "Of some there are 3 of 5 folds: of these nothing is claimed." in after


def test_a_contrast_that_compares_nothing_has_no_smallest_gain(folded):
    """One of the two named has seen too few updates; the span is that of the other."""
    named = (f"{SMALL}:pm-kd", f"{SMALL}:combined")
    folded.name(*named).fill(names=("baseline", "combined"))
    for fold in range(5):
        folded.add(SMALL, "pm-kd", fold, made=40, effect=0.1 * fold)
    write_report(folded.study, None)
    compared = pd.read_csv(folded.study.root / "comparisons.csv").set_index("method")
    compared = compared[compared.contrast]
    assert compared.verdict["pm-kd"] == "none (fewer than 100 updates)"
    assert f"claimed: {100 * compared.smallest['combined']:.1f} points." in text(folded.study, "matrix")


def test_validation_scores_of_which_some_are_doubted_claim_nothing(folded):
    folded.simulated.part = "val"
    folded.name(*NAMED).fill(names=("baseline", "combined"))
    for fold in range(5):
        folded.add(SMALL, "pm-kd", fold, made=40)
    write_report(folded.study, None)
    assert "Validation scores: nothing is claimed." in text(folded.study, "matrix")
    assert "Of some" not in text(folded.study, "matrix")


def test_a_study_that_named_nothing_claims_nothing(folded):
    write_report(folded.fill(names=("baseline", "combined")).study, None)
    assert "None of these was named before the study began: nothing is claimed" in text(
        folded.study, "matrix"
    )
    assert "descriptive" in text(folded.study, "matrix")


def test_one_split_claims_nothing(simulated):
    write_report(simulated.fill(seeds=3, students=1), None)
    assert "One split: nothing is claimed" in text(simulated.study, "matrix")
    assert "3 seeds" in text(simulated.study, "matrix")


def test_updates_stand_in_the_caption_or_where_they_differ_in_a_column(folded):
    study = folded.fill(range(3), names=("baseline", "combined")).study
    write_report(study, None)
    assert "updates" not in pd.read_csv(study.root / "tables" / "matrix.csv")
    for fold in range(3):
        folded.add(SMALL, "pm-kd", fold, made=520)
    folded.add(SMALL, "combined", 0, made=510)
    write_report(study, None)
    assert "500 to 520 updates a job" in text(study, "matrix")
    table = pd.read_csv(study.root / "tables" / "matrix.csv").set_index(["architecture", "method"])
    assert table.updates[SMALL, "pm-kd"] == "520"
    assert table.updates[SMALL, "combined"] == "500 to 510"
    assert "Under-trained" not in text(study, "matrix")


def test_a_job_of_few_updates_is_warned_of(folded):
    study = folded.fill(range(3), names=("baseline", "combined")).study
    folded.add(SMALL, "combined", 0, made=80)
    write_report(study, None)
    for name in ("matrix", "report", "cost", "patients"):
        assert "Under-trained: 1 job has fewer than 100 updates." in text(study, name), name


def test_a_teacher_of_whom_nothing_is_known_carries_no_claim(folded):
    study = folded.fill(range(3), names=("baseline", "combined")).study
    write_json(study.root / "study.json", study.settings() | {"teacher_saw": "unknown", "contrasts": []})
    write_report(study, None)
    assert "may have seen these patients, nobody knows: nothing is claimed" in text(folded.study, "matrix")


def test_a_teacher_that_saw_the_labels_is_an_upper_bound(folded):
    folded.fill(range(3), names=("baseline", "combined"))
    for fold in range(3):
        folded.add(SMALL, "baseline", fold, labels=4, effect=-0.1)
        folded.add(SMALL, "combined", fold, labels=4, teacher_labels="all", unlabelled="maps")
    write_report(folded.study, None)
    assert "an upper bound, the teacher saw these labels" in text(folded.study, "recipes")
    assert "upper bound" not in text(folded.study, "matrix"), "none of its rows"
    table = pd.read_csv(folded.study.root / "tables" / "recipes.csv")
    taught = table[table.method == "combined"].squeeze()
    assert (taught["teacher's labels"], taught.unlabelled) == ("all", "maps")
    assert str(taught.folds if "folds" in table else 3) == "3"
    assert float(str(taught[GAIN]).split()[0]) == pytest.approx(13, abs=1)


def test_folds_of_a_cell_that_lacks_some_are_counted(folded):
    folded.fill(range(4), names=("baseline",))
    for fold in range(3):
        folded.add(SMALL, "combined", fold)
    write_report(folded.study, None)
    table = pd.read_csv(folded.study.root / "tables" / "matrix.csv").set_index(["architecture", "method"])
    assert (table.folds[SMALL, "baseline"], table.folds[SMALL, "combined"]) == (4, 3)


def test_means_are_over_folds_seeds_first(folded):
    study = folded.fill(range(3), names=("baseline",), seeds=2).study
    done = frames.summary(study)
    own = done[done.architecture == SMALL]
    each = captions.by_repeat(own, "dice")
    assert list(each) == pytest.approx([own[own.fold == k].dice.mean() for k in range(3)])
    assert captions.repeats(done) == "3 of 5 folds of 2 seeds"
    write_report(study, None)
    table = pd.read_csv(study.root / "tables" / "matrix.csv").set_index("architecture")
    assert table["Dice (test)"][SMALL] == f"{each.mean():.3f} ± {each.std():.3f}"
    assert "mean over patients ± sd over folds" in text(study, "matrix")


def test_a_deviation_is_explained_where_there_is_one(folded):
    study = folded.fill([0], names=("baseline",)).study
    write_report(study, None)
    assert "Dice: mean over patients. Δ plain" in text(study, "matrix")
    folded.fill([1], names=("baseline",))
    write_report(study, None)
    assert "Dice: mean over patients ± sd over folds. Δ plain" in text(study, "matrix")
