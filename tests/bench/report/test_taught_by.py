"""Kinds of teachers are told apart: in rows, in gaps, and whose labels were drawn."""

import numpy as np
import pytest

from bench.report import frames
from bench.report.cells import groups
from bench.report.comparisons import comparisons
from bench.report.gaps import NO_GAP
from bench.report.report import write_report
from bench.report.standard import standard

TEACHER, SMALL, BETWEEN = "unet-64-128-256-512", "unet-32-64", "unet-32-64-128"


@pytest.fixture
def kinds(simulated):
    """Students of one teacher, two, an assistant, their plain twins, and with shuffled targets."""
    simulated.sd_patient = simulated.sd_residual = simulated.sd_seed = 0.001
    teachers = [simulated.add(TEACHER, "baseline", seed, effect=0.0) for seed in (0, 1)]
    for seed in (0, 1):
        plain = simulated.add(SMALL, "baseline", seed)
        assistant = simulated.add(BETWEEN, "pm-kd", seed)
        simulated.add(SMALL, "pm-kd", seed, effect=0.05)
        for teaching, effect in ((teachers, 0.06), ([assistant], 0.04), ([plain], 0.01)):
            names = tuple(job.id for job in teaching)
            simulated.add(SMALL, "pm-kd", seed, effect=effect, teachers=names)
        simulated.add(SMALL, "pm-kd", seed, effect=-0.02, shuffled=True)
    return simulated


def test_each_kind_of_teacher_is_a_row_of_both_seeds(kinds, no_figures):
    frame = frames.summary(kinds.study)
    found = {cell.teacher: len(group) for cell, group in groups(frame) if cell.architecture == SMALL}
    assert found == {
        "": 2,
        TEACHER: 2,
        f"2 × {TEACHER}": 2,
        f"{BETWEEN}:pm-kd": 2,
        SMALL: 2,
        f"{TEACHER}, targets shuffled": 2,
    }
    write_report(kinds.study, None)
    main = (kinds.study.root / "tables" / "matrix.md").read_text()
    others = (kinds.study.root / "tables" / "recipes.md").read_text()
    assert "beyond its plain twin, points" in others
    assert "2 ×" not in main and "shuffled" not in main
    assert all(name in others for name in found if name)
    assert "Targets shuffled: a control" in others and "Of its plain twin: a control" in others


def test_gaps_are_to_the_teacher_that_taught(kinds):
    frame = frames.summary(kinds.study)
    compared = comparisons(frame, frames.cases(kinds.study, "val"))
    own = compared[(compared.architecture == SMALL) & (compared.against == "baseline")]
    shares = own.set_index("teacher").gap_closed
    assert shares[TEACHER] == pytest.approx(0.5, abs=0.05)
    assert shares[SMALL] == NO_GAP, "its plain twin is no better than itself"
    assert shares[[f"2 × {TEACHER}"]].isna().all(), "no network that was scored is the mean"
    assert shares[f"{TEACHER}, targets shuffled"] == pytest.approx(-0.2, abs=0.05)
    beyond = own[own.teacher != ""].set_index("teacher").beyond_twin
    assert beyond[SMALL] == 0
    assert beyond[TEACHER] == pytest.approx(0.04, abs=0.003)
    assert beyond[f"{TEACHER}, targets shuffled"] == pytest.approx(-0.03, abs=0.003)
    jobs = frame[frame.architecture == SMALL].set_index("teacher").gap_closed
    assert jobs[SMALL].isna().all()
    against = compared[(compared.architecture == SMALL) & (compared.against == "teacher")]
    plain = against[against.method == "baseline"].squeeze()
    assert plain.difference == pytest.approx(-0.1, abs=0.01), "a twin that teaches is compared as ever"
    assert len(plain.of_each.split()) == 2


def test_a_twin_is_subtracted_from_an_upper_bound_too(simulated):
    few = {"labels": 8, "unlabelled": "maps"}
    plain = simulated.add(SMALL, "baseline", 0, labels=8)
    simulated.add(SMALL, "pm-kd", 0, teachers=(plain.id,), effect=0.01, **few)
    for known, effect in (("same", 0.03), ("all", 0.06), ("disjoint", 0.05)):
        simulated.add(SMALL, "pm-kd", 0, teacher_labels=known, effect=effect, **few)
    compared = comparisons(frames.summary(simulated.study), frames.cases(simulated.study, "val"))
    own = compared[(compared.against == "baseline") & (compared.teacher != SMALL)]
    beyond = own.set_index("teacher_labels").beyond_twin
    assert beyond["same"] == pytest.approx(0.02, abs=0.003)
    assert beyond["all"] == pytest.approx(0.05, abs=0.003)
    assert np.isnan(beyond["disjoint"])
    # A network of the student's own kind that saw all labels is no twin of its.
    seen = simulated.add(SMALL, "baseline", 0, effect=0.02)
    more = few | {"teacher_labels": "all"}
    simulated.add(SMALL, "pm-kd", 0, teachers=(seen.id,), effect=0.05, **more)
    compared = comparisons(frames.summary(simulated.study), frames.cases(simulated.study, "val"))
    own = compared[(compared.against == "baseline") & (compared.teacher == SMALL)]
    beyond = own.set_index("teacher_labels").beyond_twin
    assert beyond["same"] == 0
    assert beyond["all"] == pytest.approx(0.04, abs=0.003)


def test_teachers_that_know_another_seeds_labels_have_rows_of_their_own(simulated):
    for seed in (0, 1):
        simulated.add(TEACHER, "baseline", seed, effect=0.0, labels=8)
        simulated.add(TEACHER, "baseline", 1 - seed, effect=-0.2, labels=8, labels_seed=seed)
        simulated.add(SMALL, "baseline", seed, labels=8)
        name = simulated.job(TEACHER, "baseline", seed, labels=8).id
        simulated.add(SMALL, "pm-kd", seed, labels=8, teachers=(name,))
    frame = frames.summary(simulated.study)
    drawn = {cell.drawn: len(group) for cell, group in groups(frame) if cell.architecture == TEACHER}
    assert drawn == {"": 2, "by seed 0": 1, "by seed 1": 1}
    compared = comparisons(frame, frames.cases(simulated.study, "val"))
    plain = compared[(compared.method == "baseline") & (compared.against == "teacher")].squeeze()
    assert plain.difference == pytest.approx(-0.1, abs=0.02)
    assert set(frame.teacher[frame.architecture == SMALL]) == {"", TEACHER}


def test_a_plain_student_of_another_learning_rate_is_no_reference(simulated):
    for seed in (0, 1):
        simulated.add(TEACHER, "baseline", seed, effect=0.0)
        simulated.add(SMALL, "baseline", seed)
        simulated.add(SMALL, "baseline", seed, effect=-0.3, learning_rate=0.01)
        simulated.add(SMALL, "pm-kd", seed)
    frame = frames.summary(simulated.study)
    assert set(frame.changed) == {"", "[learning_rate=0.01]"}
    compared = comparisons(frame, frames.cases(simulated.study, "val"))
    gain = compared[(compared.method == "pm-kd") & (compared.against == "baseline")].squeeze()
    assert gain.difference == pytest.approx(0, abs=0.02)
    assert set(standard(frame).changed) == {""}
