"""Whether there is anything to learn, before anything is trained."""

import dataclasses

import numpy as np
import pytest
from image_files import describe, write_folder

from bench.data import phantom
from bench.data.folds import folds_by_patient
from bench.data.foreground import check_foreground
from bench.data.splits import split_by_patient
from bench.errors import UserError


@pytest.fixture(scope="module")
def slices():
    return phantom.generate(side=32)


def test_a_usual_dataset_is_passed_in_silence(slices):
    assert check_foreground(slices, [split_by_patient(slices)]) == []
    assert check_foreground(slices, folds_by_patient(slices, 5)) == []


def test_nothing_to_learn_is_an_error(slices):
    split = split_by_patient(slices)
    training = set(split.indices(slices, "train"))
    masks = [np.zeros_like(m) if k in training else m for k, m in enumerate(slices.masks)]
    with pytest.raises(UserError, match="no mask of the training set has any foreground"):
        check_foreground(dataclasses.replace(slices, masks=masks), [split])


def test_a_fold_without_foreground_is_named(slices):
    folds = folds_by_patient(slices, 5)
    shown = folds[1].indices(slices, "test")[0]
    masks = [m if k == shown else np.zeros_like(m) for k, m in enumerate(slices.masks)]
    odd = check_foreground(dataclasses.replace(slices, masks=masks), folds)
    assert "no training mask of fold 1 has any foreground: its networks learn nothing" in odd


def test_masks_without_any_background_are_said(slices):
    full = dataclasses.replace(slices, masks=[np.ones_like(mask) for mask in slices.masks])
    [line] = check_foreground(full, [split_by_patient(full)])
    assert line.startswith("no training mask has any background")


def test_a_class_that_occurs_nowhere_is_named_once(slices):
    more = dataclasses.replace(slices, classes=("object", "tumour"))
    line = "no training mask holds the class tumour: it can't be learned"
    assert check_foreground(more, [split_by_patient(slices)]) == [line]
    assert check_foreground(more, folds_by_patient(slices, 5)) == [line]


def test_a_class_that_a_fold_lacks_is_named(slices):
    folds = folds_by_patient(slices, 5)
    rare = folds[2].indices(slices, "test")
    masks = [2 * m if k in rare else m for k, m in enumerate(slices.masks)]
    two = dataclasses.replace(slices, masks=masks, classes=("object", "tumour"))
    odd = check_foreground(two, folds)
    assert odd == ["no training mask of fold 2 holds the class tumour: it can't be learned there"]


def test_it_is_said_before_a_run_and_in_a_dry_run(bench, refused, tmp_path, tiny_matrix):
    folder = write_folder(tmp_path / "eyes", classes=1)
    describe(folder, labels={"background": 0, "disc": 1, "cup": 2})
    call = ("--matrix", tiny_matrix, "--dataset", folder, "--patient-column", "person", "--dry-run")
    result = bench(*call, "--image-size", 16, "--results", tmp_path / "r")
    assert result.code == 0
    assert result.err.count("no training mask holds the class cup") == 1
    for path in (folder / "masks").iterdir():
        path.write_bytes((folder / "masks" / "p00_0.png").read_bytes())
    empty = write_folder(tmp_path / "empty", classes=0)
    line = refused(*call[:3], empty, *call[4:], "--image-size", 16, "--results", tmp_path / "r")
    assert "there is nothing to learn" in line
    assert not (tmp_path / "r").exists()
