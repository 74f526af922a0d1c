"""Studies in folds and with few labels, as a user runs them."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import short_jobs

from bench.study.store import Study

V1 = Path(__file__).resolve().parents[2] / "results" / "v1" / "phantom"
MATRIX = {
    "teacher": "unet-4-8",
    "students": ["unet-2"],
    "methods": ["baseline", "pm-kd"],
    "image_size": 16,
    "updates": 80,
    "workers": 2,
}


def write(path, **more):
    path.write_text(json.dumps(MATRIX | more))
    return path


@pytest.fixture
def arguments(tmp_path):
    return ("--matrix", write(tmp_path / "m.yaml"), "--results", tmp_path / "s", "--device", "cpu")


@pytest.mark.slow
def test_two_of_three_folds_then_the_third(bench, arguments, tmp_path, short, brief_profile, no_figures):
    first = bench(*arguments, "--folds", 3, "--fold", "0,1")
    assert first.code == 0, first.err
    assert "may be claimed: unet-2:pm-kd" in first.out
    assert "6 jobs, 0 done, 6 to run" in first.out
    assert "2 of 3 folds" in first.out + (tmp_path / "s" / "tables" / "matrix.md").read_text()
    last = bench(*arguments)
    assert "9 jobs, 6 done, 3 to run" in last.out
    study = Study(tmp_path / "s")
    assert study.settings()["folds"] == 3
    assert study.settings()["contrasts"] == ["unet-2:pm-kd"]
    frame = pd.read_csv(tmp_path / "s" / "summary.csv")
    assert sorted(frame.fold) == sorted([0, 1, 2] * 3)
    assert set(frame.status) == {"done"}
    cases = pd.read_csv(tmp_path / "s" / "cases.csv")
    for _, own in cases.groupby(["architecture", "method"]):
        assert sorted(own.patient.unique()) == sorted({f"phantom{k:03}" for k in range(25)})
        assert own.case.is_unique, "every case is tested once"
    assert set(study.record(frame.id[0])["dataset"]) >= {"train_patients", "labelled_patients"}
    assert "nothing to run" in bench(*arguments).out


@pytest.mark.slow
def test_few_labels_recorded_and_live_give_the_same_student(bench, tmp_path, short, jobs_only):
    matrix = write(
        tmp_path / "m.yaml", labels=4, teacher_labels="disjoint", unlabelled="maps", methods=["combined"]
    )
    weights = []
    for name, limit in (("recorded", 8), ("live", 0)):
        result = bench(
            *("--matrix", matrix, "--results", tmp_path / name, "--device", "cpu", "--no-test"),
            *("--targets-gb", limit),
        )
        assert result.code == 0, result.err
        study = Study(tmp_path / name)
        assert (study.root / "targets").exists() == (limit > 0)
        teacher, student = sorted(study.records(), key=lambda record: len(record["job"]["teachers"]))
        assert teacher["job"]["teacher_labels"] == student["job"]["teacher_labels"] == "disjoint"
        assert teacher["dataset"]["labelled_patients"] == 8
        assert student["dataset"]["labelled_patients"] == 4
        assert {record["best_epoch"] for record in (teacher, student)} == {short_jobs.EPOCHS}, "the last"
        weights.append(study.path("weights", student["id"]).read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--folds", 1), "--folds 1: must be 2 at least; without it there is one split"),
        (("--folds", 26), "--folds 26: dataset phantom has 25 patients"),
        (("--fold", "1"), "--fold 1: no such fold; the study's folds are none; see --folds"),
        (("--folds", 3, "--fold", "0,3"), "--fold 3: no such fold; the study's folds are 0 to 2"),
        (("--updates", 510), "--updates 510: must be a multiple of the 20 epochs"),
        (("--updates", 0), "--updates 0: must be a multiple of the 20 epochs, e.g. 20"),
        (("--image-size", 16, "--updates", -20), "--updates -20: must be a multiple"),
    ],
)
def test_mistakes_are_one_line(refused, arguments, more, message):
    assert message in refused(*arguments, *more, "--dry-run")


def test_more_labels_than_patients_are_refused(refused, tmp_path):
    matrix = write(tmp_path / "m.yaml", labels=17)
    line = refused("--matrix", matrix, "--results", tmp_path / "s", "--device", "cpu", "--dry-run")
    assert "labels 17: there are 16 training patients to draw from; at most 16, or all" in line
    write(matrix, labels=15, teacher_labels="disjoint", unlabelled="maps")
    line = refused("--matrix", matrix, "--results", tmp_path / "s", "--device", "cpu", "--dry-run")
    assert line.endswith("8 training patients of the student's half to draw from; at most 8")
    assert not (tmp_path / "s").exists()


def test_maps_on_no_image_are_refused(refused, tmp_path):
    matrix = write(tmp_path / "m.yaml", labels=16, unlabelled="maps")
    line = refused("--matrix", matrix, "--results", tmp_path / "s", "--device", "cpu", "--dry-run")
    assert (
        "unlabelled maps: all 16 patients of training are labelled, and no image is without a mask" in line
    )


def test_folds_are_frozen_with_the_study(bench, refused, arguments, nothing_runs):
    assert bench(*arguments).code == 0
    assert "3 folds: " in (line := refused(*arguments, "--folds", 3))
    assert "was begun without folds; name another folder" in line


def test_given_weights_teach_no_folds(refused, arguments, tmp_path):
    line = refused(*arguments, "--folds", 3, "--teacher", tmp_path / "w.safetensors")
    assert "what it was trained on is not known, so a study with folds" in line


def test_folds_are_never_fewer_than_a_study_was_begun_with(
    bench, refused, arguments, nothing_runs, tmp_path
):
    assert bench(*arguments, "--folds", 5).code == 0
    assert "was begun with 5 folds; name another folder" in refused(*arguments, "--folds", 3)
    before = (tmp_path / "s" / "splits.json").read_bytes()
    (tmp_path / "s" / "splits.json").unlink()
    assert bench(*arguments).code == 0, "lost splits are made again, without --folds being typed"
    assert (tmp_path / "s" / "splits.json").read_bytes() == before


def test_a_lost_split_of_a_users_own_is_asked_for(bench, refused, arguments, nothing_runs, tmp_path):
    """To make another one would test patients whom the study's networks were trained on."""
    assert bench(*arguments, "--folds", 3, "--dry-run").code == 0
    assert bench(*arguments[:3], tmp_path / "t", "--folds", 3).code == 0
    own = json.loads((tmp_path / "t" / "splits.json").read_text())
    (tmp_path / "own.json").write_text(json.dumps(own[::-1]))
    assert bench(*arguments, "--splits", tmp_path / "own.json").code == 0
    (tmp_path / "s" / "splits.json").unlink()
    line = refused(*arguments)
    assert "splits.json: is missing, and the study's split is not the one that is made by default" in line
    assert bench(*arguments, "--splits", tmp_path / "own.json").code == 0


def test_contrasts_are_frozen_with_their_jobs(bench, arguments, nothing_runs, tmp_path):
    """Whatever a later matrix names, more updates among it, the study claims what it was begun with."""
    assert bench(*arguments, "--folds", 3).code == 0
    study = Study(tmp_path / "s")
    begun = study.settings()
    planned = begun["contrast_jobs"]["unet-2:pm-kd"]
    assert {(study.job(name).method, study.job(name).fold) for name in planned} == {
        ("pm-kd", fold) for fold in range(3)
    }
    other = write(tmp_path / "m.yaml", methods=["baseline", "pm-kd", "at-kd"], contrasts=["unet-2:at-kd"])
    done = bench("--matrix", other, *arguments[2:], "--updates", 160)
    assert (
        "contrasts are not used (unet-2:at-kd): the study was begun with unet-2:pm-kd"
        in done.out + done.err
    )
    assert study.settings() == begun


def test_contrasts_stand_for_all_folds_whatever_is_run_first(bench, arguments, nothing_runs, tmp_path):
    assert bench(*arguments, "--folds", 3, "--fold", 1, "--only", "*:baseline").code == 0
    begun = Study(tmp_path / "s").settings()
    assert bench(*arguments).code == 0
    study = Study(tmp_path / "s")
    assert study.settings() == begun
    assert {study.job(name).fold for name in begun["contrast_jobs"]["unet-2:pm-kd"]} == {0, 1, 2}
    # What --only leaves out, and other folds, may ask for labels that are not there.
    matrix = write(tmp_path / "n.yaml", labels=[4, 13], unlabelled="maps")
    again = ("--matrix", matrix, *arguments[2:], "--results", tmp_path / "t", "--folds", 3)
    assert bench(*again, "--fold", 0, "--only", "*:baseline").code == 0


def test_what_a_study_can_never_claim_is_not_promised(bench, arguments, nothing_runs, tmp_path):
    done = bench(*arguments, "--folds", 2)
    assert "no difference may be claimed: 2 folds, and it takes 3 at least" in done.out + done.err
    done = bench(*arguments[:3], tmp_path / "t", "--folds", 3, "--no-test")
    assert (
        "may be claimed once the test patients are read, without --no-test: unet-2:" in done.out + done.err
    )


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"methods": ["baseline"]}, ""),
        ({"contrasts": []}, ""),
        ({"methods": ["baseline", *(f"pm-kd[weight={k}]" for k in range(1, 8))]}, "there are more than 6"),
    ],
)
def test_a_warning_on_contrasts_only_where_there_are_too_many(
    bench, arguments, nothing_runs, tmp_path, more, says
):
    done = bench("--matrix", write(tmp_path / "m.yaml", **more), *arguments[2:], "--folds", 3)
    said = done.out + done.err
    assert says in said
    assert ("may be claimed" in said) == bool(says)


def test_a_study_of_an_earlier_protocol_says_so(refused, tmp_path):
    old = shutil.copytree(V1, tmp_path / "phantom")
    line = refused("--matrix", "quick", "--results", old, "--device", "cpu")
    assert "is of version 1 of the protocol, now it is 2: it can be reported, not gone on with" in line


def test_a_teacher_of_other_labels_needs_some_to_be_withheld(refused, arguments, tmp_path):
    write(tmp_path / "m.yaml", teacher_labels=["same", "disjoint"])
    line = refused(*arguments, "--dry-run")
    assert "teacher_labels disjoint: where students know all labels, so does the teacher" in line
