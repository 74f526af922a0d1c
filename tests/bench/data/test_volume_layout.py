"""Which files belong to which case: nothing missing and nothing left over goes unsaid."""

import gzip
import json
import unicodedata

import numpy as np
import pytest
from volume_files import ball_volume, case, save, write_decathlon, write_nnunet

from bench.data.datasets import load
from bench.errors import UserError


@pytest.fixture
def nnunet(tmp_path):
    return write_nnunet(tmp_path / "Dataset001_Balls", count=3)


def change(root, **values):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


BROKEN = {
    "image without label": (
        lambda r: (r / "labelsTr" / f"{case(1)}.nii.gz").unlink(),
        "imagesTr/person00_b_0000.nii.gz: has no label labelsTr/person00_b.nii.gz; add it or remove the "
        "image",
    ),
    "label without image": (
        lambda r: (r / "imagesTr" / f"{case(1)}_0000.nii.gz").unlink(),
        "person00_b_0000.nii.gz: missing; labelsTr/person00_b.nii.gz has no image of that channel",
    ),
    "a channel too many": (
        lambda r: save(r / "imagesTr" / f"{case(0)}_0001.nii.gz", ball_volume(0)[0]),
        "person00_a_0001.nii.gz: dataset.json names no channel 1; name it or remove the file",
    ),
    "an image without its channel": (
        lambda r: save(r / "imagesTr" / f"{case(0)}.nii.gz", ball_volume(0)[0]),
        "person00_a.nii.gz: must end with its channel, as in case_0000.nii.gz",
    ),
    ".nii beside .nii.gz": (
        lambda r: save(r / "imagesTr" / f"{case(0)}_0000.nii", ball_volume(0)[0]),
        "imagesTr/person00_a_0000.nii and imagesTr/person00_a_0000.nii.gz are of one case; remove one",
    ),
    "another ending than declared": (
        lambda r: change(r, file_ending=".nii"),
        "person00_a.nii.gz: ends in .nii.gz, but file_ending of dataset.json is .nii; make them agree",
    ),
    "numTraining": (lambda r: change(r, numTraining=4), "numTraining is 4, but 3 cases are there"),
    "gzip named .nii": (
        lambda r: [pack(path) for path in sorted(r.rglob("*.nii.gz"))] and change(r, file_ending=".nii"),
        "is packed by gzip; rename it to person00_a.nii.gz",
    ),
}


def pack(path):
    path.rename(path.with_suffix(""))


@pytest.mark.parametrize("name", BROKEN)
def test_cases_that_contradict_the_folder_are_refused(nnunet, name):
    damage, message = BROKEN[name]
    damage(nnunet)
    with pytest.raises(UserError) as error:
        load("balls", nnunet)
    assert message in str(error.value)


def test_endings_may_be_uppercase_or_undeclared(nnunet, tmp_path):
    before = load("balls", nnunet)
    for path in list(nnunet.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    assert load("balls", nnunet).fingerprint == before.fingerprint
    plain = write_nnunet(tmp_path / "plain", count=3, ending=".nii")
    assert load("balls", plain).fingerprint == before.fingerprint
    change(plain, file_ending=None, numTraining="3")
    assert load("balls", plain).fingerprint == before.fingerprint


def test_a_list_may_differ_from_the_names_in_case_and_unicodes_form(tmp_path):
    root = write_decathlon(tmp_path / "balls", count=3)
    before = load("balls", root)
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    text = (root / "dataset.json").read_text()
    (root / "dataset.json").write_text(text.replace("person00_a", f"p{composed}").replace(".gz", ".GZ"))
    for folder in ("imagesTr", "labelsTr"):
        path = root / folder / f"{case(0)}.nii.gz"
        path.rename(path.with_name(f"p{apart}.nii.gz"))
    dataset = load("balls", root)
    assert f"p{composed}" in dataset.cases
    assert sorted(dataset.contents) == sorted(before.contents)


def test_what_is_hidden_or_for_testing_is_let_be_and_other_files_are_said(nnunet):
    before = load("balls", nnunet)
    (nnunet / "labelsTr" / f"._{case(0)}.nii.gz").write_bytes(b"left by a Mac")
    save(nnunet / "imagesTs" / "x_0000.nii.gz", np.zeros((4, 4, 4)))
    assert load("balls", nnunet).warnings == before.warnings
    (nnunet / "labelsTr" / "notes.txt").write_text("done")
    assert "labelsTr/notes.txt: no NIfTI file, 1 such not read" in load("balls", nnunet).warnings


def test_the_content_decides_nothing_that_the_name_denies(nnunet):
    path = nnunet / "labelsTr" / f"{case(0)}.nii.gz"
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(UserError, match=r"is not packed by gzip; rename it to person00_a\.nii"):
        load("balls", nnunet)
