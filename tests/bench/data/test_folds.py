"""Folds: every patient is tested once; nnU-Net's file is read as folds."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import phantom
from bench.data.dataset import Dataset
from bench.data.folds import folds_by_patient
from bench.data.splits import fingerprint_of, split_by_patient, untested
from bench.data.splits_file import read_splits, write_splits
from bench.errors import UserError


def dataset_of(cases_each, sizes=None):
    """One patient an entry of ``cases_each``, with as many cases; ``sizes`` are pixels of their organs."""
    patients = [f"p{k:03}" for k, count in enumerate(cases_each) for _ in range(count)]
    masks = []
    for patient in patients:
        mask = np.zeros(100, np.uint8)
        mask[: 50 if sizes is None else sizes[int(patient[1:])]] = 1
        masks.append(mask.reshape(10, 10))
    cases = tuple(f"{patient}_{k:04}" for k, patient in enumerate(patients))
    images = [np.zeros((1, 10, 10), np.float32)] * len(cases)
    return Dataset("made", cases, tuple(patients), images, masks, ("object",), "f")


def patients_of(dataset, cases):
    owner = dict(zip(dataset.cases, dataset.patients, strict=True))
    return {owner[case] for case in cases}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=4, max_size=30), st.data())
def test_every_patient_is_tested_once_by_networks_that_never_saw_it(cases_each, data):
    dataset = dataset_of(cases_each)
    folds = folds_by_patient(dataset, data.draw(st.integers(2, len(cases_each))))
    tested = [patients_of(dataset, fold.test) for fold in folds]
    assert sum(map(len, tested)) == len(set.union(*tested)) == len(cases_each)
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    for fold in folds:
        parts = [patients_of(dataset, part) for part in (fold.train, fold.val, fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(cases_each), "no patient is in two parts"
        assert len(fold.train) + len(fold.val) + len(fold.test) == len(dataset.cases)
    assert folds_by_patient(dataset, len(folds)) == folds


def test_folds_are_alike_in_the_size_of_the_organ():
    sizes = np.random.default_rng(0).permutation(np.arange(1, 101)).tolist()
    dataset = dataset_of([2] * 100, sizes)
    for fold in folds_by_patient(dataset, 5):
        for part, within in ((fold.test, 3), (fold.val, 6)):
            numbers = [sizes[int(patient[1:])] for patient in patients_of(dataset, part)]
            assert abs(np.mean(numbers) - 50.5) < within
            assert np.ptp(numbers) > 80, "small and large ones"


def test_liver_folds_hold_all_122_volumes(liver_data):
    from bench.data import datasets

    dataset = datasets.load("liver-ct", liver_data)
    folds = folds_by_patient(dataset, 5)
    assert [len(patients_of(dataset, fold.test)) for fold in folds] == [25, 25, 24, 24, 24]
    assert {case for fold in folds for case in fold.test} == set(dataset.cases)
    assert all(len(patients_of(dataset, fold.val)) == 18 for fold in folds), "14.5 % of 122"


@pytest.mark.parametrize(("patients", "folds"), [(4, 5), (2, 2), (1, 2), (3, 2)])
def test_more_folds_than_patients_allow_are_refused(patients, folds):
    with pytest.raises(UserError, match=f"--folds {folds}: dataset made has {patients} patients"):
        folds_by_patient(dataset_of([3] * patients), folds)


def test_the_file_gives_the_folds_back(tmp_path):
    dataset = phantom.generate(patients=10, slices=2, side=16)
    folds, path = folds_by_patient(dataset, 3), tmp_path / "splits.json"
    write_splits(path, folds)
    assert read_splits(path, dataset) == folds
    assert fingerprint_of(folds) != fingerprint_of(folds[::-1]) != fingerprint_of(folds[:1])


@pytest.fixture
def nnunets(tmp_path):
    """nnU-Net's ``splits_final.json`` of five folds, and the dataset."""
    dataset = phantom.generate(patients=15, slices=2, side=16)
    owner = dict(zip(dataset.cases, dataset.patients, strict=True))
    patients = sorted(set(dataset.patients))
    folds = []
    for k in range(5):
        val = [case for case in dataset.cases if owner[case] in patients[k::5]]
        folds.append({"train": [case for case in dataset.cases if case not in val], "val": val})
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(folds))
    return path, dataset, folds


def test_nnunets_validation_is_the_test_of_its_fold(nnunets):
    path, dataset, folds = nnunets
    found = read_splits(path, dataset)
    assert [list(fold.test) for fold in found] == [fold["val"] for fold in folds]
    for fold, theirs in zip(found, folds, strict=True):
        assert {*fold.train, *fold.val} == set(theirs["train"]), "validation comes from their training part"
        assert len(patients_of(dataset, fold.val)) == 2
        assert not patients_of(dataset, fold.train) & patients_of(dataset, fold.val)
    assert read_splits(path, dataset) == found


def test_one_fold_of_nnunets_keeps_its_validation(nnunets, caplog):
    caplog.set_level(logging.INFO)
    path, dataset, folds = nnunets
    named = {"train": folds[0]["train"][4:], "val": folds[0]["val"]}
    path.write_text(json.dumps([named]))
    (split,) = read_splits(path, dataset)
    assert list(split.val) == folds[0]["val"]
    assert set(split.test) == set(folds[0]["train"][:4])
    assert f"{path}: the 4 cases that it does not name are the test" in caplog.text


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.__setitem__(1, f[0]), "is tested in fold 0 and in fold 1"),
        (lambda f: f[2].update(test=[]), "some folds have a test part and some have none"),
        (lambda f: f[3]["val"].append("nobody"), "fold 3: val names 'nobody'"),
        (lambda f: f[4].update(train=f[4]["train"][:2]), "fold 4: its training part is one patient"),
    ],
)
def test_bad_folds_are_named(nnunets, edit, message):
    path, dataset, folds = nnunets
    edit(folds)
    path.write_text(json.dumps(folds))
    with pytest.raises(UserError, match=message) as error:
        read_splits(path, dataset)
    assert "splits_final.json" in str(error.value)


def test_cases_that_no_fold_tests_are_said(nnunets):
    path, dataset, folds = nnunets
    path.write_text(json.dumps(folds[:4]))
    splits = read_splits(path, dataset)
    assert len(splits) == 4
    assert untested(dataset, splits) == ["6 of 30 cases are in the test of no fold"]


def test_cases_that_a_fold_leaves_out_are_said(nnunets):
    """They are tested in their own fold, and no other fold trains on them."""
    path, dataset, folds = nnunets
    lost = folds[0]["val"][0]
    for fold in folds[1:3]:
        fold["train"].remove(lost)
    path.write_text(json.dumps(folds))
    said = untested(dataset, read_splits(path, dataset))
    assert said == ["1 of 30 cases are in no part of fold 1", "1 of 30 cases are in no part of fold 2"]


def test_a_single_split_is_what_it_was():
    dataset = phantom.generate(patients=10, slices=2, side=16)
    split = split_by_patient(dataset)
    assert fingerprint_of([split]) == split.fingerprint
