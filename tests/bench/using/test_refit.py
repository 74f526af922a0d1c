"""``export --refit``: the recipe on all patients, with its own cross-validated score in the card."""

import json

import pytest
from commands import needs

from bench.data.splits import Split
from bench.study.store import Study
from bench.using.bundle import DESCRIPTION, of_bundle
from bench.using.refit import on_all_patients, repeats_of
from methods.converting.steps import NEEDED

TEACHER = "unet-64-128-256-512"


@pytest.fixture
def study(bench, tiny_matrix, tmp_path, jobs_only):
    """A teacher and its student, in two folds."""
    for package in NEEDED["onnxruntime"]:
        needs(package)
    root = tmp_path / "study"
    arguments = ("--folds", 2, "--only", "unet-2-4:at-kd", "--no-test", "--device", "cpu", "--no-compile")
    assert bench("--matrix", tiny_matrix, "--results", root, *arguments).code == 0
    return Study(root)


@pytest.mark.slow
def test_all_patients_last_epoch_and_the_recipes_score(bench, refused, study, tmp_path):
    jobs = [job for job in study.jobs() if job.method == "at-kd"]
    assert len(jobs) == 2
    out = tmp_path / "bundle"
    result = bench("export", study.root, jobs[0].id, "-o", out, "--refit")
    assert result.code == 0, result
    assert result.out.count("on all patients:") == 2, "the teacher and the student"
    home = Study(study.root / "refit")
    records = {record["job"]["method"]: record for record in home.records()}
    assert set(records) == {"baseline", "at-kd"}
    own = records["at-kd"]
    everybody = {p for job in jobs for p in _patients(study.record(job.id))}
    assert own["dataset"]["train_patients"] > study.record(jobs[0].id)["dataset"]["train_patients"]
    assert own["dataset"]["train_patients"] >= len(everybody)
    assert own["best_epoch"] == len(own["curves"]), "the last"
    assert own["job"]["teachers"] == [records["baseline"]["id"]]
    card = (out / "docs/README.md").read_text()
    assert "cross-validated over 2 networks" in card
    assert f"Trained on {own['dataset']['train_patients']} patients" in card
    means = [study.record(job.id)["val"]["dice"] for job in jobs]
    level = float(card.partition("| validation |")[2].split("|")[2].split()[0])
    assert min(means) - 0.01 <= level <= max(means) + 0.01
    assert "all patients" in json.loads((out / DESCRIPTION).read_bytes())["label"]
    assert of_bundle(out).made_for.size == 16
    again = bench("export", study.root, jobs[1].id, "-o", tmp_path / "other", "--refit")
    assert "on all patients:" not in again.out, "both folds have one recipe, which is trained"
    assert study.jobs() == [job for job in study.jobs() if not job.refit]


def _patients(record):
    return [row["patient"] for row in record["val"]["rows"]]


def test_several_teachers_stay_several(simulated):
    """They differ by their seeds alone, and are a mean of as many networks on all patients, too."""
    teachers = tuple(simulated.add(TEACHER, "baseline", seed).id for seed in (4, 5, 6))
    student = simulated.add("unet-32-64", "pm-kd", 4, teachers=teachers)
    *taught_by, own = on_all_patients(simulated.study, student, Split(("a",), ("b",), ()))
    assert [one.seed for one in (*taught_by, own)] == [0, 1, 2, 0]
    assert own.teachers == tuple(one.id for one in taught_by)
    assert len(set(own.teachers)) == 3


def test_repeats_are_of_one_recipe_at_one_learning_rate(simulated):
    rates = {
        rate: [simulated.add("unet-32-64", "baseline", seed, learning_rate=rate).id for seed in range(2)]
        for rate in (None, 0.003)
    }
    for ids in rates.values():
        assert set(repeats_of(simulated.study, ids[0])) == set(ids)


def test_given_maps_are_refused(refused, simulated, tmp_path):
    job = simulated.add("unet-32-64", "pm-kd", 0, teachers=(), maps="0" * 64)
    said = refused("export", simulated.study.root, job.id, "-o", tmp_path / "out", "--refit")
    assert "does not keep the maps of --teacher-maps" in said


def test_few_labels_are_refused(refused, simulated, tmp_path):
    job = simulated.add("unet-32-64", "baseline", 0, labels=4)
    said = refused("export", simulated.study.root, job.id, "-o", tmp_path / "out", "--refit")
    assert "some labels alone" in said
    assert not (tmp_path / "out").exists()
