from samples import a_setting

from bench.planning.cells import cells
from bench.planning.estimates import Probe
from bench.planning.matrix import parse_matrix, read_matrix

SETTING = a_setting()


def jobs(name, **changes):
    matrix = read_matrix(name).model_copy(update=changes)
    return [cell.job for cell in cells(matrix, SETTING)]


def test_the_reports_matrix_is_thirteen_jobs_a_seed():
    listed = jobs("unets")
    assert len(listed) == 13
    assert listed[0].architecture == "unet-64-128-256-512"
    assert not listed[0].teachers
    assert len(jobs("unets", seeds=(0, 1, 2))) == 39
    assert len({job.id for job in listed}) == 13
    teacher = listed[0].id
    for job in listed[1:]:
        assert job.teachers == (() if job.method == "baseline" else (teacher,))


def test_the_full_matrix_is_twenty_five_jobs_a_seed():
    listed = list(cells(read_matrix("full"), SETTING))
    assert len(listed) == 25
    assert not any(cell.reason for cell in listed), "DMFNet and the U-Nets have taps in common"
    assert {cell.job for cell in listed} > set(jobs("unets")), "studies share what both matrices ask for"


def test_volumes_have_a_network_that_trains_plainly():
    cells = [(job.architecture, job.method) for job in jobs("volumes")]
    assert len(cells) == 6
    assert [method for name, method in cells if name == "dmfnet"] == ["baseline"]
    assert [m for n, m in cells if n == "unet-8-16-32-64"] == ["baseline", "pm-kd", "at-kd", "combined"]


def test_students_learn_from_the_teacher_of_their_seed():
    listed = jobs("unets", seeds=(0, 1))
    teachers = {job.id: job.seed for job in listed if job.architecture.startswith("unet-64")}
    assert sorted(teachers.values()) == [0, 1]
    assert all(teachers[t] == job.seed for job in listed for t in job.teachers)


def test_the_weak_recipe_has_the_same_teacher():
    assert jobs("weak-recipe")[0] == jobs("unets")[0]
    assert {job.seg_loss for job in jobs("weak-recipe")[1:]} == {"bce"}


def test_a_cell_without_matching_taps_is_skipped_with_its_reason(monkeypatch):
    monkeypatch.setattr(
        "bench.planning.chains.probe",
        lambda name, job: Probe(frozenset({("encoder", 2 if name == "unet-8" else 4)})),
    )
    matrix = parse_matrix({"teacher": "unet-8-16", "students": ["unet-8"]}, "x")
    reasons = {cell.job.method: cell.reason for cell in cells(matrix, SETTING) if cell.job.teachers}
    assert not reasons["pm-kd"]
    assert "no tap of the same side and stride" in reasons["at-kd"]
    assert "no tap of the same side and stride" in reasons["combined"]


def test_small_jobs_are_not_compiled():
    compiled = {job.architecture: job.compiled for job in jobs("unets")}
    assert compiled["unet-64-128-256-512"]
    tiny = parse_matrix({"teacher": "unet-2-4", "students": ["unet-2"]}, "x")
    assert not any(cell.job.compiled for cell in cells(tiny, SETTING))


def test_a_network_that_is_plain_and_a_student_keeps_all_its_cells():
    matrix = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "plain": ["unet-2-4", "unet-4-8"]}
    listed = [cell.job for cell in cells(parse_matrix(matrix, "m"), SETTING)]
    found = [(job.architecture, job.method) for job in listed]
    assert found == [
        ("unet-4-8-16", "baseline"),
        *(("unet-2-4", method) for method in ("baseline", "pm-kd", "at-kd", "combined")),
        ("unet-4-8", "baseline"),
    ], "and each once"
