"""Volumes without labels, in ``unlabelled/``: read, never scored, learned from by maps alone."""

import json
import shutil

import numpy as np
import pytest
import torch
from samples import blank_job
from volume_files import ball_volume, case, save, write_decathlon, write_nnunet

from bench.data.datasets import load
from bench.data.decoded import keep_decoded
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split
from bench.data.stream import SampleStream
from bench.data.teacher_maps import find_maps, read_map
from bench.errors import UserError
from bench.study.store import Study

EXTRA = {"person00_x": 50, "person05_x": 51, "person90_a": 52, "person91_a": 53}
"""Cases without labels: of a training patient, of one who is tested, of two others."""


def with_extra(root, ending=".nii.gz", channel=""):
    for name, seed in EXTRA.items():
        save(root / "unlabelled" / f"{name}{channel}{ending}", ball_volume(seed)[0])
    return root


@pytest.fixture
def folder(tmp_path):
    return with_extra(write_decathlon(tmp_path / "Task01_Balls"))


def read(root, cache=None):
    return load(str(root), None, cache, patient_key="person..")


SPLIT = Split(*(tuple(case(k) for k in part) for part in (range(6), range(6, 10), (10, 11))))


def test_they_stand_apart_and_are_decoded_once(folder, tmp_path):
    dataset = read(folder)
    assert len(dataset.cases) == len(dataset.masks) == 12
    extra = dataset.unlabelled
    assert extra.cases == tuple(EXTRA)
    assert extra.patients == ("person00", "person05", "person90", "person91")
    assert np.array_equal(extra.images[0][0], ball_volume(50)[0])
    assert len(extra.spacing) == len(extra.affines) == 4
    keep_decoded(tmp_path / "cache", dataset)
    again = read(folder, tmp_path / "cache")
    assert again.fingerprint == dataset.fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(again.unlabelled.images, extra.images, strict=True))
    shutil.rmtree(folder / "unlabelled")
    assert read(folder).fingerprint != dataset.fingerprint


def test_nnunets_layout_names_the_channel(tmp_path):
    root = with_extra(write_nnunet(tmp_path / "Dataset001_Balls"), channel="_0000")
    assert read(root).unlabelled.cases == tuple(EXTRA)
    save(root / "unlabelled" / "person92_a_0001.nii.gz", ball_volume(1)[0])
    with pytest.raises(UserError, match="case person92_a has the channels 1; must have 0"):
        read(root)
    (root / "unlabelled" / "person92_a_0001.nii.gz").rename(root / "unlabelled" / "person92_a.nii.gz")
    with pytest.raises(UserError, match=r"must end with its channel, as in case_0000\.nii\.gz"):
        read(root)


@pytest.mark.parametrize("slices", ["", "axial"])
def test_a_batch_mixes_them_with_the_others_and_knows_no_labels(folder, slices):
    prepared = PreparedVolumes(read(folder), SPLIT, 16, slices)
    assert set(prepared.unlabelled_patients) == {"person00", "person90", "person91"}, "no tested patient"
    job = blank_job(teachers=("t",), labels=1, unlabelled="maps", updates=80)
    stream = SampleStream.of(job, prepared)
    assert stream.labelled == 8
    owners = [*prepared.sample_patients, *prepared.unlabelled_patients]
    assert {owners[row] for batch in range(4) for row in stream.rows(0, batch)[8:]} >= {
        "person90",
        "person91",
    }
    images, labels = stream.unaugmented(0, 0)
    assert images.shape[0] == 16
    assert torch.isfinite(images).all()
    assert (labels[8:] == 0).all()
    assert images[8:].std() > 0.1


def test_maps_of_them_are_turned_like_them(folder, tmp_path):
    dataset = read(folder)
    own = np.random.default_rng(0).dirichlet((1, 1, 1), ball_volume(0)[1].shape).transpose(3, 0, 1, 2)
    (tmp_path / "maps").mkdir()
    np.savez(tmp_path / "maps" / "person90_a.npz", probabilities=own.transpose(0, 3, 2, 1))
    maps = find_maps(tmp_path / "maps", dataset, ["person90_a"])
    assert np.allclose(read_map(maps.files["person90_a"], dataset, "person90_a"), own[1:], atol=1e-6)


def test_the_volume_of_another_patient_in_disguise_is_refused(folder):
    shutil.copy(folder / "imagesTr" / f"{case(10)}.nii.gz", folder / "unlabelled" / "person95_a.nii.gz")
    with pytest.raises(UserError, match="of patient 'person05' once more, under patient 'person95'"):
        read(folder)


def test_a_case_with_a_label_is_none_without(folder):
    save(folder / "unlabelled" / f"{case(3)}.nii.gz", ball_volume(60)[0])
    with pytest.raises(UserError, match="has a label; an image has one or has none"):
        read(folder)


def test_a_study_learns_from_them_and_scores_none(bench, folder, tmp_path, short, jobs_only):
    matrix = {
        "teacher": "unet-2-4", "students": ["unet-2"], "methods": ["baseline", "pm-kd"], "image_size": 16,
        "updates": 80, "labels": [2], "unlabelled": "maps",
    }  # fmt: skip
    (tmp_path / "m.yaml").write_text(json.dumps(matrix))
    options = ("--patient-key", "person..", "--no-test", "--device", "cpu", "--no-compile")
    result = bench(
        "--matrix", tmp_path / "m.yaml", "--dataset", folder, "--results", tmp_path / "s", *options
    )
    assert result.code == 0, result
    records = Study(tmp_path / "s").records()
    taught = next(record for record in records if record["job"]["method"] == "pm-kd")
    assert taught["dataset"]["unlabelled_images"] == 3
    for record in records:
        assert not {row["case"] for row in record["val"]["rows"]} & set(EXTRA)
