"""Recipes crossed into jobs: sources, conversions of every network, what ``--only`` picks, what to do."""

import pytest
from samples import a_setting

import methods
from bench.errors import UserError
from bench.files.atomic import write_json
from bench.job import Job
from bench.planning.cells import cells
from bench.planning.matrix import contrasts, parse_matrix
from bench.planning.todo import states, to_run
from bench.running.executors.graph import levels, needs
from bench.running.failures import fail
from bench.study.store import Study

BF16 = "torch[precision=bf16]"
MATRIX = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "methods": ["baseline", f"at-kd > {BF16}"]}


def planned(only=None, setting=None, **more):
    return list(cells(parse_matrix(MATRIX | more, "m.yaml"), setting or a_setting(), only))


def recipes(found):
    return [f"{cell.job.architecture}:{cell.job.recipe or cell.job.method}" for cell in found]


def test_every_prefix_of_a_recipe_is_a_job():
    found = planned()
    assert recipes(found) == [
        "unet-4-8-16:baseline", "unet-2-4:baseline", "unet-2-4:at-kd", f"unet-2-4:at-kd > {BF16}",
    ]  # fmt: skip
    teacher, plain, taught, made = (cell.job for cell in found)
    assert (plain.source, taught.source, made.source) == ("", "", taught.id)
    assert made.method == "torch"
    assert made.parameters == (("precision", "bf16"),)
    assert taught.teachers == (teacher.id,)
    assert made.needs == (taught.id,)
    assert taught.needs == taught.teachers
    alone = planned(methods=["baseline", "at-kd"])
    assert [cell.job.id for cell in alone] == [teacher.id, plain.id, taught.id]
    assert methods.build(made.spec) == methods.build(BF16)


def test_convert_crosses_every_trained_network_the_teacher_too():
    found = planned(convert=["torch", BF16])
    assert len(found) == 3 + 3 * 2, "what a recipe has converted itself is there once"
    made = [cell.job for cell in found if cell.job.source]
    assert {job.architecture for job in made} == {"unet-4-8-16", "unet-2-4"}
    by_id = {cell.job.id: cell.job for cell in found}
    for job in made:
        source = by_id[job.source]
        assert not source.source
        same = ("seed", "fold", "labels", "data", "split", "image_size", "updates", "seg_loss", "precision")
        assert all(getattr(job, name) == getattr(source, name) for name in same)
        assert not job.compiled
    order = [cell.job.id for cell in found]
    assert all(order.index(job.source) < order.index(job.id) for job in made)


def test_the_recipe_is_text_that_decides_nothing():
    made = planned()[-1].job
    assert made.label == f"unet-2-4:at-kd > {BF16} seed 0"
    again = Job.from_dict(made.as_dict())
    assert (again, again.recipe, again.id) == (made, made.recipe, made.id)
    other = Job.from_dict({**made.as_dict(), "recipe": "something else"})
    assert (other, other.id) == (made, made.id)


def test_a_sum_is_a_job_of_its_own_that_knows_its_parts(monkeypatch):
    class Other(methods.METHODS["pm-kd"]):
        name = "other"

    monkeypatch.setitem(methods.METHODS, "other", Other)
    [job] = [cell.job for cell in planned(methods=["other[weight=2]+pm-kd"]) if cell.job.teachers]
    assert job.method == "pm-kd+other"
    assert dict(job.parameters)["other.weight"] == 2.0
    assert methods.text(methods.build(job.spec)) == "pm-kd+other[weight=2.0]"
    [one], [other] = (
        [cell.job for cell in planned(methods=[spec]) if cell.job.teachers]
        for spec in ("combined", "at-kd+pm-kd")
    )
    assert one == other
    assert one.method == "combined"


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (":at-kd", ["unet-4-8-16:baseline", "unet-2-4:at-kd"]),
        (":at-kd>*", ["unet-4-8-16:baseline", "unet-2-4:at-kd", "unet-2-4:at-kd > torch",
                      f"unet-2-4:at-kd > {BF16}"]),
        (f"unet-2-4:baseline>{BF16}", ["unet-2-4:baseline", f"unet-2-4:baseline > {BF16}"]),
        ("unet-2-4:baseline > torch[precision=fp32]", ["unet-2-4:baseline", "unet-2-4:baseline > torch"]),
        ("unet-4-8-16", ["unet-4-8-16:baseline", "unet-4-8-16:baseline > torch",
                         f"unet-4-8-16:baseline > {BF16}"]),
        ("unet-4-8-16:baseline", ["unet-4-8-16:baseline"]),
        (f"unet-4-8-16:baseline, :baseline > {BF16}",
         ["unet-4-8-16:baseline", f"unet-4-8-16:baseline > {BF16}", "unet-2-4:baseline",
          f"unet-2-4:baseline > {BF16}"]),
    ],
)  # fmt: skip
def test_only_picks_jobs_and_what_they_need(only, expected):
    assert recipes(planned(only, convert=["torch", BF16])) == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"convert": ["at-kd"]}, "convert: 'at-kd' is no conversion; known: torch"),
        ({"convert": "magic"}, "convert: unknown method 'magic'"),
        ({"methods": ["torch > at-kd"]}, "torch needs a trained network"),
        ({"methods": ["at-kd > magic"]}, "unknown method 'magic'"),
    ],
)
def test_bad_recipes_are_one_line(more, message):
    with pytest.raises(UserError) as error:
        planned(**more)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_made_of_a_skipped_job_is_skipped_too(monkeypatch):
    monkeypatch.setattr("methods.training.at_kd.AtKd.supports", lambda *_: "not for this")
    reasons = {cell.job.recipe or cell.job.method: cell.reason for cell in planned()}
    assert reasons["at-kd"] == "at-kd: not for this"
    assert reasons[f"at-kd > {BF16}"] == "its source: at-kd: not for this"


def test_contrasts_are_of_trained_cells():
    matrix = parse_matrix(MATRIX | {"methods": ["baseline", "at-kd", f"at-kd > {BF16}", "pm-kd"]}, "m")
    assert contrasts(matrix) == ["unet-2-4:at-kd", "unet-2-4:pm-kd"]


@pytest.fixture
def study(tmp_path):
    study = Study(tmp_path / "study")
    study.create({"device": "cpu"}, synthetic=True)
    return study


def done(study, job, weights=True):
    scores = {"dice": 0.5, "rows": [{"case": "c", "patient": "p", "dice": 0.5}]}
    about = {"synthetic": True, "train_patients": 1}
    record = {"id": job.id, "status": "done", "job": job.as_dict(), "curves": [], "best_epoch": None}
    record |= {"dice_val_last": None, "val": scores, "cost": {}, "dataset": about}
    write_json(study.path("records", job.id), record)
    if weights:
        path = study.path("weights", job.id)
        path.parent.mkdir(exist_ok=True)
        path.touch()


def test_what_is_made_from_a_network_waits_for_it_and_for_its_teacher(study):
    teacher, plain, taught, made = jobs = [cell.job for cell in planned()]
    for job in jobs:
        study.plan(job)
    assert study.job(made.id).recipe == made.recipe
    assert study.trained(made) == taught
    assert to_run(study, jobs, no_test=True) == jobs
    assert needs(study, jobs)[made.id] == {taught.id}
    assert levels(study, jobs) == [[teacher, plain], [taught], [made]]


def test_a_done_source_is_made_again_only_where_its_weights_are_missing(study):
    teacher, plain, taught, made = jobs = [cell.job for cell in planned()]
    for job in jobs:
        study.plan(job)
    for job in (teacher, plain, taught):
        done(study, job)
    assert to_run(study, jobs, no_test=True) == [made]
    for job in (teacher, plain, taught):  # a fresh clone
        study.path("weights", job.id).unlink()
    todo = to_run(study, jobs, no_test=True)
    assert todo == [teacher, taught, made], "the source's own teacher too"
    found = dict(states(study, jobs, todo))
    assert found[taught] == "to do again: its weights are not here, and other jobs need them"
    assert found[made] == "to do"
    assert found[plain] == "done"
    done(study, made)
    assert to_run(study, jobs, no_test=True) == []
    assert to_run(study, [made], no_test=False) == [made], "its own weights are here: it is only scored"


def test_a_failed_source_blocks_what_is_made_from_it(study):
    _, _, taught, made = jobs = [cell.job for cell in planned()]
    for job in jobs[:2]:
        done(study, job)
    for job in jobs:
        study.plan(job)
    fail(study, taught, "failed", "out of memory")
    assert study.blocked(made) == f"its source {taught.label} has no trained network (failed)"
    fail(study, made, "blocked", study.blocked(made))
    assert to_run(study, jobs, no_test=True) == []
    assert to_run(study, jobs, no_test=True, retry_failed=True) == [taught, made]
    done(study, taught)
    assert to_run(study, jobs, no_test=True) == [made], "nothing blocks it any more"
