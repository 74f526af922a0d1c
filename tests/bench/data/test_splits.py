import json

import pytest

from bench.data import image_folder, phantom
from bench.data.splits import split_by_patient
from bench.data.splits_file import read_splits, write_splits
from bench.errors import UserError


@pytest.fixture(scope="module")
def dataset():
    return phantom.generate(patients=10, slices=2, side=16)


def patients_of(dataset, cases):
    patient = dict(zip(dataset.cases, dataset.patients, strict=True))
    return {patient[case] for case in cases}


def test_no_patient_is_in_two_parts(dataset):
    split = split_by_patient(dataset)
    parts = [patients_of(dataset, part) for part in (split.train, split.val, split.test)]
    assert all(parts)
    assert sum(len(part) for part in parts) == len(set(dataset.patients))
    assert {*split.train, *split.val, *split.test} == set(dataset.cases)
    assert split_by_patient(dataset) == split


def test_the_liver_slices_split_as_the_protocol_says(liver_data):
    dataset = image_folder.load("liver-ct", liver_data, "volume", "liver")
    split = split_by_patient(dataset)
    sizes = [len(split.train), len(split.val), len(split.test)]
    assert sum(sizes) == 623
    assert all(abs(a - b) <= 10 for a, b in zip(sizes, (410, 90, 124), strict=True)), sizes


def test_three_patients_are_enough_and_two_are_not():
    split = split_by_patient(phantom.generate(patients=3, slices=1, side=16))
    assert [len(split.train), len(split.val), len(split.test)] == [1, 1, 1]
    with pytest.raises(UserError, match=r"2 patient\(s\), 'phantom000' and 'phantom001', can't be split"):
        split_by_patient(phantom.generate(patients=2, slices=4, side=16))


def test_round_trip_and_nnunets_files_without_test(dataset, tmp_path):
    split, path = split_by_patient(dataset), tmp_path / "splits.json"
    write_splits(path, [split])
    assert read_splits(path, dataset) == (split,)
    folds = json.loads(path.read_text())
    del folds[0]["test"]
    path.write_text(json.dumps(folds))
    assert set(read_splits(path, dataset)[0].test) == set(split.test)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f["val"].append(f["train"][0]), "is named twice"),
        (lambda f: f["val"].append(f["train"].pop()), "is in train and in val"),
        (lambda f: f["val"].append("nobody"), "val names 'nobody'"),
        (lambda f: f.update(val=[]), "val is empty"),
        (lambda f: f.update(train=3), "not a splits file"),
    ],
)
def test_bad_splits_are_named(dataset, tmp_path, edit, message):
    path = tmp_path / "splits.json"
    write_splits(path, [split_by_patient(dataset)])
    folds = json.loads(path.read_text())
    edit(folds[0])
    path.write_text(json.dumps(folds))
    with pytest.raises(UserError, match=message) as error:
        read_splits(path, dataset)
    assert "splits.json" in str(error.value)
