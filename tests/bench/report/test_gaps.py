"""The share of the gap between plain student and teacher."""

import json

import pandas as pd
import pytest

from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.gaps import NO_GAP, gap_closed

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"


def compare(study, part):
    done, cases = frames.summary(study), frames.cases(study, part)
    return done, cases, comparisons(done, cases)


def shares(compared):
    return compared[compared.against == "baseline"].set_index("method").gap_closed


def quiet(simulated):
    simulated.sd_patient = simulated.sd_residual = simulated.sd_seed = 0.001
    return simulated


def test_the_share_of_the_gap_over_folds(folded):
    quiet(folded.simulated)
    done, cases, compared = compare(folded.fill().study, "test")
    found = shares(compared)
    assert found["combined"] == pytest.approx(0.03 / 0.1, abs=0.02)
    assert found["at-kd"] == pytest.approx(-0.03 / 0.1, abs=0.02)
    means = cases.groupby(["architecture", "method", "fold"]).dice.mean().groupby(level=[0, 1]).mean()
    plain, ours, teacher = (
        means[key] for key in ((SMALL, "baseline"), (SMALL, "combined"), (TEACHER, "baseline"))
    )
    assert found["combined"] == pytest.approx((ours - plain) / (teacher - plain))
    drawn = gap_closed(done, cases, compared).set_index("method")
    assert drawn.share["combined"] == found["combined"]
    assert drawn.low["combined"] < found["combined"] < drawn.high["combined"]


def test_without_folds_it_is_that_of_means_over_seeds(simulated):
    _, _, compared = compare(quiet(simulated).fill(students=1), "val")
    assert shares(compared)["combined"] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("sd", "plain"), [(0.001, 0.09), (0.001, 0.12), (0.06, 0.07)])
def test_no_gap_is_said_in_words_and_not_drawn(folded, sd, plain):
    """The teacher is less than two points better, or worse, or by three points that folds can't tell."""
    folded.simulated.sd_patient = folded.simulated.sd_residual = 0.001
    folded.simulated.sd_seed = sd
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        folded.add(SMALL, "baseline", fold, effect=plain)
        folded.add(SMALL, "combined", fold, effect=plain + 0.02)
    done, cases, compared = compare(folded.study, "test")
    assert shares(compared)["combined"] == NO_GAP
    assert list(gap_closed(done, cases, compared).share) == [NO_GAP]


def test_a_student_of_several_teachers_or_none_has_no_share(simulated, folded):
    two = tuple(simulated.job(TEACHER, "baseline", k, fold=k).id for k in (0, 1))
    for fold in range(3):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        folded.add(SMALL, "baseline", fold)
        folded.add(SMALL, "combined", fold, teachers=two)
        folded.add(SMALL, "pm-kd", fold, teachers=())
    done, _, compared = compare(folded.study, "test")
    assert shares(compared)["combined"] is None or pd.isna(shares(compared)["combined"])
    assert done.gap_closed[done.method == "combined"].isna().all()


def test_every_job_has_the_share_of_its_own_fold_and_seed(folded):
    study = folded.fill(seeds=2).study
    done = frames.summary(study)
    by = done.set_index(["architecture", "method", "fold", "seed"])
    for fold, seed in ((0, 0), (3, 3), (3, 8)):
        ours, plain, teacher = (
            by.dice[network, method, fold, seed]
            for network, method in ((SMALL, "combined"), (SMALL, "baseline"), (TEACHER, "baseline"))
        )
        expected = (ours - plain) / (teacher - plain)
        assert by.gap_closed[SMALL, "combined", fold, seed] == pytest.approx(expected)
    assert done.gap_closed[done.method == "baseline"].isna().all()
    assert "gap_closed" in frames.written(done)


def test_a_job_whose_teacher_is_hardly_better_has_none(folded):
    folded.add(TEACHER, "baseline", 0, effect=-0.09)
    folded.add(SMALL, "baseline", 0)
    job_id = folded.add(SMALL, "combined", 0)
    folded.add(SMALL, "combined", 1)
    done = frames.summary(folded.study).set_index("id")
    assert pd.isna(done.gap_closed[job_id])
    assert done.gap_closed.isna().all(), "fold 1 has neither a plain student nor a teacher"


def test_validation_scores_are_taken_where_a_job_has_no_other(folded):
    folded.simulated.part = "val"
    folded.fill(range(1))
    done = frames.summary(folded.study).set_index(["architecture", "method"])
    gap = done.dice_val[TEACHER, "baseline"] - done.dice_val[SMALL, "baseline"]
    gain = done.dice_val[SMALL, "combined"] - done.dice_val[SMALL, "baseline"]
    assert done.gap_closed[SMALL, "combined"] == pytest.approx(gain / gap)
    record = json.loads(folded.study.path("records", done.id[SMALL, "combined"]).read_text())
    assert "test" not in record
