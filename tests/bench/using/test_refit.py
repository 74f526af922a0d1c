"""``export --refit``: the recipe on all patients, with its own cross-validated score in the card."""

import json

import pytest
from commands import needs

from bench.study.store import Study
from bench.using.bundle import DESCRIPTION, of_bundle
from methods.converting.steps import NEEDED


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


def test_few_labels_are_refused(refused, simulated, tmp_path):
    job = simulated.add("unet-32-64", "baseline", 0, labels=4)
    said = refused("export", simulated.study.root, job.id, "-o", tmp_path / "out", "--refit")
    assert "some labels alone" in said
    assert not (tmp_path / "out").exists()
