"""Studies of a user's own folder of volumes, through the command line: what is odd, and ``--affine``."""

import json

import nibabel as nib
import numpy as np
import pytest
from volume_files import LABELS, ball_volume, save, write_decathlon

from bench.data import datasets
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.study.store import Study

MATRIX = {"teacher": "unet-4-8", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd"], "workers": 1}


@pytest.fixture
def folder(tmp_path):
    return write_decathlon(tmp_path / "Balls", count=8)


@pytest.fixture
def arguments(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)
    (tmp_path / "m.yaml").write_text(json.dumps(MATRIX | {"image_size": 16, "updates": 80}))
    results = ("--results", tmp_path / "s", "--device", "cpu", "--precision", "fp32", "--no-compile")
    return ("--matrix", tmp_path / "m.yaml", "--dataset", folder, *results)


def contradict(folder):
    """Let the sizes in ``pixdim`` be 1.3158 x 1.3158 x 10 where the sform says 1 mm."""
    for path in folder.rglob("*.nii.gz"):
        stored = nib.load(path)
        image = nib.Nifti1Image(np.asarray(stored.dataobj), None, stored.header)
        image.header["pixdim"][1:4] = 1.3158, 1.3158, 10
        nib.save(image, path)


def test_what_is_odd_is_said_once_and_stands_in_the_study(bench, arguments, folder, tmp_path):
    content = json.loads((folder / "dataset.json").read_text())
    content["labels"] = {**LABELS, "3": "Middle"}
    (folder / "dataset.json").write_text(json.dumps(content))
    odd = [
        "imagesTr/person00_a.nii.gz and 15 more files: says no unit of length; taken for millimetres",
        "no training mask holds the class Middle: it can't be learned",
    ]
    assert bench(*arguments, "--dry-run").err.splitlines()[:2] == odd
    assert bench(*arguments).err.splitlines()[:2] == odd
    assert Study(tmp_path / "s").settings()["warnings"] == odd
    assert not set(odd) & set(bench(*arguments).err.splitlines()), "it stands in the study now"
    assert bench(*arguments, "--dry-run").err.splitlines()[:2] == odd


def test_a_key_that_gives_one_patient_for_most_volumes_is_said(bench, arguments):
    """The key means a number, but finds its first digit's letters in most names."""
    result = bench(*arguments, "--patient-key", "person0[012]|person|_b", "--dry-run")
    assert result.code == 0
    assert "cases" not in result.err
    result = bench(*arguments, "--patient-key", "person03_a|person03_b|person02_b|person0", "--dry-run")
    assert "patient 'person0' has 5 of the 8 cases" in result.err


def test_the_affine_is_chosen_once_for_all(bench, refused, arguments, folder, tmp_path):
    contradict(folder)
    assert "its sform means voxels of 1x1x1 mm, oriented RAS, its pixdim of 1.3158x1.3158x10" in refused(
        *arguments
    )
    assert not (tmp_path / "s").exists()
    assert bench(*arguments, "--affine", "qform").code == 0
    settings = Study(tmp_path / "s").settings()
    assert settings["affine"] == "qform"
    session = open_session(tmp_path / "s", Options(dataset="Balls", data=folder))
    assert set(session.dataset.spacing) == {(1.3158, 1.3158, 10)}, "a job reads what the study says"
    assert bench(*arguments, "--dry-run").out.count("to do") == 3
    assert "begun with affine 'qform', now it is 'sform'" in refused(*arguments, "--affine", "sform")
    other = datasets.load(str(folder), affine="sform")
    assert other.spacing[0] == (1, 1, 1)
    assert other.fingerprint != settings["data"]
    assert other.stored_as != session.dataset.stored_as


def test_the_choice_is_no_other_data_where_there_is_nothing_to_choose(folder):
    found = {datasets.load(str(folder), affine=affine).fingerprint for affine in ("", "sform", "qform")}
    assert len(found) == 1


def test_the_usual_patch_is_one_that_every_fold_can_fill(bench, arguments, folder, tmp_path):
    """One volume is larger than all others, and each fold in turn doesn't train on it."""
    image, label = ball_volume(0, (14, 40, 12))
    save(folder / "imagesTr" / "person00_a.nii.gz", image)
    save(folder / "labelsTr" / "person00_a.nii.gz", label)
    (tmp_path / "m.yaml").write_text(json.dumps(MATRIX | {"updates": 80}))
    result = bench(*arguments, "--folds", 8, "--dry-run")
    assert result.code == 0, result.err
    assert bench(*arguments, "--folds", 8).code == 0
    assert {job.image_size for job in Study(tmp_path / "s").jobs()} == {32}


def test_images_have_no_affine(refused, tmp_path):
    from image_files import write_folder

    images = write_folder(tmp_path / "polyps")
    line = refused("--matrix", "unets", "--dataset", images, "--patient-key", "p..", "--affine", "sform")
    assert "holds 2-D images, which have none; leave it out" in line
