"""Folds, updates and labels crossed with the rest of a matrix."""

from collections import Counter
from dataclasses import replace

import pytest
from samples import a_setting

from bench.errors import UserError
from bench.planning.cells import cells
from bench.planning.contrasts import jobs_of
from bench.planning.matrix import contrasts, parse_matrix, read_matrix

PAIR = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd"]}
NINE = {"students": ["unet-2", "unet-4", "unet-2-4"], "methods": ["pm-kd", "at-kd", "combined"]}
TEACHERS = ["same", "disjoint", "all"]


def planned(setting=None, **more):
    return list(cells(parse_matrix(PAIR | more, "m.yaml"), setting or a_setting()))


def fold_setting(fold, folds=5):
    setting = a_setting(fold=fold, split=f"s{fold}")
    return replace(setting, folds=folds)


def test_every_fold_has_a_teacher_and_a_seed_of_its_own():
    jobs = [c.job for fold in range(5) for c in planned(fold_setting(fold), seeds=[0, 1])]
    assert len(jobs) == 5 * 2 * 3
    assert {(job.fold, job.seed) for job in jobs} == {(k, s * 5 + k) for k in range(5) for s in (0, 1)}
    teachers = {job.id: job for job in jobs if job.architecture == "unet-4-8-16"}
    assert len(teachers) == 10
    for job in jobs:
        for teacher in job.teachers:
            assert (teachers[teacher].fold, teachers[teacher].seed) == (job.fold, job.seed)


def test_updates_are_an_axis_that_teachers_follow():
    jobs = [cell.job for cell in planned(updates=[500, 2000])]
    assert Counter(job.updates for job in jobs) == {500: 3, 2000: 3}
    by_id = {job.id: job for job in jobs}
    assert all(by_id[t].updates == job.updates for job in jobs for t in job.teachers)
    assert {cell.job.updates for cell in planned(updates=40, setting=a_setting(train_cases=640))} == {40}


def test_labels_are_an_axis_and_what_does_nothing_takes_its_default():
    listed = planned(labels=[8, "all"], teacher_labels=TEACHERS, unlabelled=["none", "maps"])
    assert not any(cell.reason for cell in listed)
    jobs = [cell.job for cell in listed]
    assert len(set(jobs)) == len(jobs) == len({job.id for job in jobs})

    def known(kind):
        return sorted((str(j.labels), j.teacher_labels, j.unlabelled) for j in jobs if kind(j))

    plain = known(lambda job: job.architecture == "unet-2-4" and job.method == "baseline")
    assert plain == [("8", "same", "none"), ("None", "same", "none")]
    taught = known(lambda job: job.teachers)
    assert taught == sorted(
        [("8", t, u) for t in TEACHERS for u in ("none", "maps")] + [("None", "same", "none")]
    )
    teachers = known(lambda job: job.architecture == "unet-4-8-16")
    assert teachers == sorted([("8", "same", "none"), *(("None", t, "none") for t in TEACHERS)])
    usual = [cell.job for cell in planned()]
    assert usual == [job for job in jobs if job.labels is None and job.teacher_labels == "same"]


def test_jobs_with_fewer_labels_and_their_teachers_keep_the_last_epoch():
    for cell in planned(labels=[8, "all"], teacher_labels=TEACHERS):
        job = cell.job
        assert job.keeps_last_epoch == (job.labels == 8 or job.teacher_labels != "same")


def test_without_labels_there_must_be_a_teacher_with_some():
    reasons = {
        (c.job.method, c.job.teacher_labels, c.job.unlabelled): c.reason
        for c in planned(labels=0, teacher_labels=["same", "all"], unlabelled=["none", "maps"])
        if c.job.architecture == "unet-2-4"
    }
    assert not reasons.pop(("pm-kd", "all", "maps"))
    assert set(reasons.values()) == {"labels 0: there is nothing to learn from"}


def test_rows_are_parts_of_a_crossing_each_job_once():
    rows = [
        {"labels": [8, "all"]},
        {"labels": 8, "teacher_labels": ["same", "all"], "unlabelled": "maps", "methods": ["pm-kd", "cwd"]},
        {"labels": 8, "methods": ["baseline"]},
        {"labels": 8, "methods": ["baseline"], "updates": 2000},
    ]
    listed = planned(rows=rows)
    jobs = [cell.job for cell in listed]
    assert len(set(jobs)) == len(jobs)
    assert not any(cell.reason for cell in listed)
    students = Counter(
        (job.method, job.labels, job.teacher_labels, job.unlabelled, job.updates)
        for job in jobs
        if job.architecture == "unet-2-4"
    )
    assert students == Counter(
        [
            *[
                (method, labels, "same", "none", None)
                for method in ("baseline", "pm-kd")
                for labels in (8, None)
            ],
            *[(method, 8, known, "maps", None) for method in ("pm-kd", "cwd") for known in ("same", "all")],
            ("baseline", 8, "same", "none", 2000),
        ]
    )
    ids = {job.id for job in jobs}
    assert all(teacher in ids for job in jobs for teacher in job.teachers)
    assert contrasts(parse_matrix(PAIR | {"rows": rows}, "m")) == ["unet-2-4:pm-kd", "unet-2-4:cwd"]


def test_the_matrix_of_labels_asks_what_it_says():
    matrix = read_matrix("labels").model_copy(update={"seeds": (0,)})
    listed = list(cells(matrix, a_setting(train_cases=640)))
    assert not any(cell.reason for cell in listed)
    students = [cell.job for cell in listed if cell.job.architecture == "unet-8-16-32-64"]
    assert (len(students), len(listed) - len(students)) == (32, 8)
    bound = [job for job in students if job.teacher_labels == "all" and job.method == "pm-kd"]
    assert sorted(job.labels for job in bound) == [0, 4, 8, 8, 16]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rows": [{"labels": 8, "seeds": [1]}]}, "seeds"),
        ({"rows": [{"updates": 510}]}, "m.yaml: updates 510"),
        ({"updates": 510}, "m.yaml: updates 510: must be a multiple of the 20 epochs, e.g. 520"),
        ({"updates": 10}, "m.yaml: updates 10: must be a multiple of the 20 epochs, e.g. 20"),
        ({"labels": -1}, "labels"),
        ({"labels": [4, "some"]}, "labels.1: input should be a valid integer or 'all', not 'some'"),
        ({"teacher_labels": "other"}, "teacher_labels"),
        ({"folds": 1}, "folds"),
        ({"contrasts": ["unet-2-4:baseline"]}, "'unet-2-4:baseline'; a student's distilled cells are"),
        (
            {**NINE, "contrasts": [f"{s}:{m}" for s in NINE["students"] for m in NINE["methods"]]},
            "contrasts names more than 6",
        ),
    ],
)
def test_bad_axes_are_one_line(content, message):
    with pytest.raises(UserError) as error:
        planned(**content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_training_must_see_the_samples_once():
    with pytest.raises(
        UserError, match=r"20: the 400 .* fill 25 batches; .* once, which takes 40 at least"
    ):
        planned(updates=20)


def test_contrasts_are_those_named_or_all_where_they_are_few():
    assert contrasts(parse_matrix(PAIR, "m")) == ["unet-2-4:pm-kd"]
    assert contrasts(parse_matrix(PAIR | NINE, "m")) == []
    assert len(contrasts(read_matrix("unets"))) == 6


def test_a_contrast_is_named_as_its_recipe_whatever_was_typed():
    typed = PAIR | {
        "methods": ["baseline", "at-kd+pm-kd", "pm-kd[weight=0.1]", "pm-kd [weight=1]", "cwd + dist"]
    }
    own = ["unet-2-4:combined", "unet-2-4:pm-kd", "unet-2-4:pm-kd[weight=1.0]", "unet-2-4:cwd+dist"]
    assert contrasts(parse_matrix(typed, "m")) == own
    named = {"contrasts": ["unet-2-4:pm-kd+at-kd", "unet-2-4:pm-kd[weight=1]"]}
    matrix = parse_matrix(typed | named, "m")
    assert contrasts(matrix) == [own[0], own[2]]
    jobs = [cell.job for cell in cells(matrix, a_setting(train_cases=640))]
    meant = {
        job.id for job in jobs if job.method == "combined" or dict(job.parameters).get("weight") == 1.0
    }
    named = jobs_of(contrasts(matrix), jobs)
    assert {job for ids in named.values() for job in ids} == meant
    assert list(named) == contrasts(matrix)


def test_of_several_cells_a_contrast_means_the_usual_one_with_every_seed():
    matrix = parse_matrix(
        PAIR | {"updates": [500, 2000], "seeds": [0, 1], "seg_loss": ["bce", "dice-bce"]}, "m"
    )
    jobs = [cell.job for cell in cells(matrix, a_setting(train_cases=640))]
    (ids,) = jobs_of(contrasts(matrix), jobs).values()
    named = [job for job in jobs if job.id in ids]
    assert [(j.seed, j.seg_loss, j.updates) for j in named] == [(s, "dice-bce", 2000) for s in (0, 1)]


def test_updates_that_a_job_has_anyway_are_no_other_job():
    """Typed or not: the same job, no second row, and the contrast is of the protocol's own updates."""
    matrix = parse_matrix(PAIR | {"updates": [500, 2000, None]}, "m")
    jobs = [cell.job for cell in cells(matrix, a_setting(usual_updates=500))]
    usual = [cell.job for cell in cells(parse_matrix(PAIR, "m"), a_setting(usual_updates=500))]
    assert {job.updates for job in jobs} == {None, 2000}
    assert [job for job in jobs if job.updates is None] == usual
    (ids,) = jobs_of(contrasts(matrix), jobs).values()
    assert set(ids) <= {job.id for job in usual}
    # Where folds have different numbers, 500 is the usual one of some only, and a cell is of all folds.
    assert {job.updates for job in [c.job for c in cells(matrix, a_setting())]} == {500, 2000, None}


def test_a_network_that_a_side_is_too_small_for_is_skipped_and_no_other():
    students = ["dmfnet", "unet-4-8-16-32-64"]
    found = planned(students=students, methods=["baseline"], setting=a_setting(image_size=16))
    reasons = {cell.job.architecture: cell.reason for cell in found}
    assert not reasons["dmfnet"], "which trains on 16 pixels a side"
    assert reasons["unet-4-8-16-32-64"].startswith("unet-4-8-16-32-64 can't take 16x16 in 2-D (ValueError")


def test_a_method_may_say_what_it_is_not_for(monkeypatch):
    def several(self, spatial_dims, out_channels):
        return "" if out_channels > 2 else "needs three classes"

    monkeypatch.setattr("methods.training.pm_kd.PmKd.supports", several)
    (reason,) = {cell.reason for cell in planned() if cell.job.method == "pm-kd"}
    assert reason == "pm-kd: needs three classes"
    assert not any(cell.reason for cell in planned(setting=a_setting(out_channels=3)))
