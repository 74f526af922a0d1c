"""Who teaches: the mean of several networks, an assistant, the plain twin; and the control."""

from collections import Counter
from dataclasses import replace

import pytest
from samples import a_setting

from bench.data.labels import known_to
from bench.errors import UserError
from bench.planning.cells import Given, cells
from bench.planning.matrix import parse_matrix

PAIR = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd"]}
NONE = Given()
PATIENTS = [f"p{k:02}" for k in range(40)]


def planned(setting=None, given=NONE, only=None, **more):
    matrix = parse_matrix(PAIR | more, "m.yaml")
    return list(cells(matrix, setting or a_setting(), only, given))


def taught(listed):
    """The distilled students, and all jobs by id."""
    jobs = {cell.job.id: cell.job for cell in listed}
    return [job for job in jobs.values() if job.architecture == "unet-2-4" and job.teachers], jobs


def test_one_teacher_is_the_default_and_leaves_every_id():
    assert planned() == planned(teachers=1, shuffled=False) == planned(teachers=[1], shuffled=[False])


def test_the_mean_is_of_the_seeds_of_a_block_which_students_share():
    students, jobs = taught(planned(teachers=3, seeds=[0, 1, 2, 4]))
    seeds = {job.seed: [jobs[name].seed for name in job.teachers] for job in students}
    assert seeds == {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1, 2], 4: [3, 4, 5]}
    teachers = [job for job in jobs.values() if job.architecture == "unet-4-8-16"]
    assert sorted(job.seed for job in teachers) == [0, 1, 2, 3, 4, 5], "each is trained once"
    usual = {cell.job.id for cell in planned(seeds=[0])}
    assert {name for job in students if job.seed == 0 for name in job.teachers} & usual


def test_in_folds_a_mean_is_of_networks_of_the_fold():
    setting = replace(a_setting(fold=3, split="s3"), folds=5)
    students, jobs = taught(planned(setting, teachers=2, seeds=[0]))
    assert [(jobs[n].fold, jobs[n].seed) for n in students[0].teachers] == [(3, 3), (3, 8)]


@pytest.mark.parametrize("known", ["same", "disjoint"])
def test_teachers_of_a_mean_know_the_labels_of_one_draw(known):
    students, jobs = taught(planned(teachers=3, labels=8, teacher_labels=known, seeds=[0, 1]))
    for student in students:
        whose = [known_to(jobs[name], PATIENTS).labelled for name in student.teachers]
        assert len(set(whose)) == 1, "and not three times as many"
        own = known_to(student, PATIENTS).labelled
        assert whose[0] == own if known == "same" else not whose[0] & own
    ids = {job.id for job in jobs.values()}
    assert len(ids) == len(jobs)


def test_the_twin_is_the_plain_student_itself():
    for more in ({}, {"labels": 8}, {"labels": 8, "unlabelled": "maps"}):
        students, jobs = taught(planned(teachers="twin", **more))
        twins = [jobs[name] for job in students for name in job.teachers]
        assert [(t.architecture, t.method, t.seed) for t in twins] == [("unet-2-4", "baseline", 0)]
        plain = [job for job in jobs.values() if job.architecture == "unet-2-4" and not job.teachers]
        assert plain == twins


def test_a_twin_knows_no_more_than_its_student():
    students, jobs = taught(planned(teachers="twin", labels=4, teacher_labels="all"))
    (twin,) = (jobs[name] for name in students[0].teachers)
    assert (students[0].labels, twin.labels, twin.teacher_labels) == (4, 4, "same")


def test_an_assistant_is_taught_by_the_teacher_and_teaches_the_student():
    listed = planned(teachers="unet-4-8:pm-kd[weight=1]", labels=8, unlabelled="maps")
    students, jobs = taught(listed)
    (assistant,) = (jobs[name] for name in students[0].teachers)
    assert (assistant.architecture, assistant.method, assistant.labels) == ("unet-4-8", "pm-kd", 8)
    assert dict(assistant.parameters)["weight"] == 1
    assert [jobs[name].architecture for name in assistant.teachers] == ["unet-4-8-16"]
    assert assistant.label.startswith("unet-4-8:pm-kd[weight=1.0] 8 labels, maps on the others")
    assert "of unet-4-8:pm-kd[weight=1]" in students[0].label
    order = [cell.job.id for cell in listed]
    assert order.index(assistant.id) < order.index(students[0].id)
    students, jobs = taught(planned(teachers="unet-4-8:baseline", labels=8, teacher_labels="all"))
    (plain,) = (jobs[name] for name in students[0].teachers)
    assert (plain.method, plain.labels, plain.teacher_labels) == ("baseline", None, "all")


def test_kinds_of_teachers_are_an_axis_of_rows_too():
    rows = [{"teachers": [1, 3, "twin"]}, {"shuffled": True, "methods": ["pm-kd"]}]
    listed = planned(rows=rows)
    assert not any(cell.reason for cell in listed)
    students, _ = taught(listed)
    assert Counter((len(job.teachers), job.shuffled) for job in students) == {
        (1, False): 2,
        (3, False): 1,
        (1, True): 1,
    }
    control = next(job for job in students if job.shuffled)
    assert "targets shuffled" in control.label


def test_only_brings_all_that_a_student_needs():
    listed = planned(teachers=["unet-4-8:pm-kd"], only="unet-2-4:pm-kd")
    assert [cell.job.architecture for cell in listed] == ["unet-4-8-16", "unet-4-8", "unet-2-4"]
    assert [c.job.seed for c in planned(teachers=3, only="unet-2-4:pm-kd")] == [0, 1, 2, 0]


def test_features_have_no_mean():
    reasons = {c.job.method: c.reason for c in planned(teachers=2, methods=["at-kd", "pm-kd"])}
    assert reasons["at-kd"] == "at-kd compares features, and the mean of several networks has none"
    assert not reasons["pm-kd"]


def test_without_labels_a_teacher_that_knows_nothing_teaches_nothing():
    listed = planned(labels=0, unlabelled="maps", teachers=[2, "twin"])
    assert {cell.reason for cell in listed} == {"labels 0: there is nothing to learn from"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"teachers": "unet-4-8:pm-kd > prune"}, "an assistant is trained in one step"),
        ({"teachers": "unet-4-8:int8"}, "int8 needs a trained network"),
        ({"teachers": "both"}, "neither a number, twin, nor an assistant as architecture:recipe"),
        ({"teachers": 0}, "teachers"),
        ({"teachers": "unet-4-8:no-kd"}, "no-kd"),
        ({"teachers": "nonet-4:pm-kd"}, "nonet-4"),
    ],
)
def test_what_can_teach_nobody_is_one_line(more, message):
    with pytest.raises(UserError) as error:
        planned(**more)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "flag"), [(Given(weights="ab"), "--teacher gives"), (Given(maps="ab"), "--teacher-maps")]
)
def test_one_given_teacher_is_no_mean(given, flag):
    with pytest.raises(UserError, match=flag):
        planned(given=given, teachers=3)
    students, jobs = taught(planned(given=given, teachers="twin"))
    assert jobs[students[0].teachers[0]].architecture == "unet-2-4"
