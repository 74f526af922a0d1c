"""Images without masks: read, left out where their patients are scored, and learned from by maps alone."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from image_files import add_unlabelled, save, scene, write_folder, write_index
from samples import a_setting, blank_job

from bench.data.datasets import load
from bench.data.decoded import keep_decoded
from bench.data.patients import odd_patients
from bench.data.prepared_images import PreparedImages, resize_image
from bench.data.splits import Split, split_by_patient
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.study.store import Study


@pytest.fixture
def folder(tmp_path):
    """Six people with masks, two of whom and two others have images without."""
    root = write_folder(tmp_path / "polyps", classes=1)
    add_unlabelled(root, ["p00", "p05", "q00", "q01"])
    return root


def read(root, cache=None, **more):
    return load(str(root), None, cache, **(more or {"patient_column": "person"}))


def refusal(root, **more):
    with pytest.raises(UserError) as error:
        read(root, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


SPLIT = Split(*(tuple(f"p{k:02}_{n}" for k in part for n in (0, 1)) for part in ((0, 1, 2), (3, 4), (5,))))


def prepared(root):
    return PreparedImages(read(root), SPLIT, 16)


def student(**known):
    return blank_job(teachers=("t",), **known)


def test_a_folder_of_images_without_masks_stands_apart(folder, tmp_path):
    dataset = read(folder)
    assert len(dataset.cases) == len(dataset.masks) == 12
    extra = dataset.unlabelled
    assert extra.patients == ("p00", "p00", "p05", "p05", "q00", "q00", "q01", "q01")
    assert np.array_equal(extra.images[0], scene(1000)[0].transpose(2, 0, 1))
    assert not set(extra.cases) & set(dataset.cases)
    split = split_by_patient(dataset)
    assert {*split.train, *split.val, *split.test} == set(dataset.cases), "no split knows them"
    keep_decoded(tmp_path / "cache", dataset)
    again = read(folder, tmp_path / "cache")
    assert again.fingerprint == dataset.fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(extra.images, again.unlabelled.images, strict=True))


def test_an_empty_field_says_it_too_and_is_the_same_data(folder, tmp_path):
    rows = tmp_path / "rows"
    shutil.copytree(folder, rows)
    for path in (rows / "unlabelled").iterdir():
        path.rename(rows / "images" / path.name)
    (rows / "unlabelled").rmdir()
    lines = [line.split(",") for line in (folder / "index.csv").read_text().splitlines()[1:]]
    write_index(
        rows, [(*line, "" if "_u" in line[0] else line[0]) for line in lines], ("file", "person", "mask")
    )
    assert read(rows).fingerprint == read(folder).fingerprint
    shutil.rmtree(folder / "unlabelled")
    write_index(folder, [line for line in lines if "_u" not in line[0]])
    assert read(folder).fingerprint != read(rows).fingerprint
    assert read(folder).unlabelled.cases == ()


def test_the_patient_key_finds_their_patients(folder):
    patients = read(folder).unlabelled.patients
    (folder / "index.csv").unlink()
    assert read(folder, patient_key="^...").unlabelled.patients == patients


def test_patients_who_are_scored_give_no_images(folder):
    assert prepared(folder).unlabelled_patients == ("p00", "p00", "q00", "q00", "q01", "q01"), (
        "p05 is tested"
    )


def test_a_batch_mixes_them_with_the_others_and_knows_no_labels(folder):
    data = prepared(folder)
    assert data.samples == 6, "an epoch is as long as without them"
    stream = SampleStream.of(student(labels=1, unlabelled="maps"), data)
    rows = [row for batch in range(25) for row in stream.rows(0, batch)[8:]]
    assert set(rows) - set(range(6)) == set(range(6, 12)), "each of them is seen"
    images, labels = data.take([0, 11, 7], (0, 0, 0))
    assert torch.equal(images[0], data.train_images[0])
    raw = torch.tensor(data.dataset.unlabelled.images[7])
    assert torch.equal(images[1:2], data.normalisation(resize_image(raw, 16)))
    assert labels[0].any() and not labels[1:].any()
    assert all(not stream.batch(0, batch)[1][8:].any() for batch in range(25))


def test_with_all_labels_they_are_half_of_a_batch(folder):
    stream = SampleStream.of(student(unlabelled="maps"), prepared(folder))
    assert stream.labelled == 8
    assert {row >= 6 for row in stream.rows(0, 0)[8:]} == {True}
    plain = SampleStream.of(student(), prepared(folder))
    assert plain.labelled == 16
    assert max(row for batch in range(25) for row in plain.rows(0, batch)) < 6


def test_a_disjoint_teachers_patients_stay_its_own(folder):
    data = prepared(folder)
    for seed in range(6):
        job = student(seed=seed, labels=1, teacher_labels="disjoint", unlabelled="maps")
        stream = SampleStream.of(job, data)
        teacher = SampleStream.of(blank_job(seed=seed, teacher_labels="disjoint"), data)
        owners = [*data.sample_patients, *data.unlabelled_patients]
        taught, seen = (
            {owners[row] for batch in range(25) for row in s.rows(0, batch)} for s in (teacher, stream)
        )
        assert not taught & seen
        assert {"q00", "q01"} <= seen


def test_the_axis_is_crossed_with_all_labels_where_there_are_such_images():
    content = {"teacher": "unet-4-8", "students": ["unet-2"], "methods": ["baseline", "pm-kd"]}
    matrix = parse_matrix(content | {"unlabelled": ["none", "maps"]}, "m")
    for more, count in ((True, 2), (False, 1)):
        found = [c.job for c in cells(matrix, replace(a_setting(), unlabelled=more)) if c.job.teachers]
        assert [job.unlabelled for job in found] == ["none", "maps"][:count]
        assert len({job.id for job in found}) == count


def test_maps_without_a_teacher_are_refused():
    content = {"teacher": "unet-4-8", "students": ["unet-2"], "methods": ["baseline"], "unlabelled": "maps"}
    with pytest.raises(UserError, match="unlabelled maps: no method has a teacher"):
        list(cells(parse_matrix(content, "m"), a_setting()))
    rows = {"rows": [{"methods": ["baseline"]}, {"methods": ["pm-kd"]}], "labels": 2}
    found = [cell.job for cell in cells(parse_matrix(content | rows, "m"), a_setting())]
    assert {job.unlabelled for job in found if job.teachers} == {"maps"}, "one row of them will do"


def test_what_contradicts_itself_is_one_line(folder):
    image = next((folder / "unlabelled").iterdir())
    shutil.copy(image, folder / "images")
    assert f"there is images/{image.name} as well" in refusal(folder)
    (folder / "images" / image.name).unlink()
    save(folder / "masks" / image.name, scene(0)[1])
    assert "its image should have no mask, for it lies in unlabelled/" in refusal(folder)
    (folder / "masks" / image.name).unlink()
    shutil.copy(image, folder / "unlabelled" / "new.png")
    assert "unlabelled/new.png: no row in index.csv" in refusal(folder)


def test_the_image_of_another_patient_in_disguise_is_refused(folder):
    shutil.copy(folder / "images" / "p05_0.png", folder / "unlabelled" / "q01_u7.png")
    line = refusal(folder)
    assert line.endswith(
        "unlabelled/q01_u7.png: is p05_0.png of patient 'p05' once more, under patient 'q01'; name the same"
        " patient, or remove it"
    )


def test_a_forgotten_mask_is_still_a_mistake(folder):
    (folder / "masks" / "p00_0.png").unlink()
    assert "masks/p00_0.png: missing" in refusal(folder)


@pytest.mark.slow
def test_a_study_learns_from_them_and_scores_none(bench, folder, tmp_path, short, jobs_only):
    matrix = {
        "teacher": "unet-4-8", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd", "pseudo-label"],
        "unlabelled": ["none", "maps"], "image_size": 16, "updates": 40, "workers": 2,
    }  # fmt: skip
    (tmp_path / "m.yaml").write_text(json.dumps(matrix))
    result = bench(
        *("--matrix", tmp_path / "m.yaml", "--dataset", folder, "--patient-column", "person"),
        *("--results", tmp_path / "s", "--device", "cpu", "--no-compile"),
    )
    assert result.code == 0, result.err
    assert "images without masks: " in result.out
    records = Study(tmp_path / "s").records()
    done = [record for record in records if record["status"] == "done"]
    assert {(r["job"]["method"], r["job"]["unlabelled"]) for r in done} == {
        ("baseline", "none"), ("pm-kd", "none"), ("pm-kd", "maps"), ("pseudo-label", "maps")
    }  # fmt: skip
    for record in done:
        assert ("unlabelled_images" in record["dataset"]) == (record["job"]["unlabelled"] == "maps")
        assert not [row for part in ("val", "test") for row in record[part]["rows"] if "_u" in row["case"]]


def test_a_patient_without_masks_who_differs_in_case_alone_is_named(tmp_path):
    """Else the images of a patient who is tested might be learned from."""
    root = write_folder(tmp_path / "polyps", classes=1, side=24)
    add_unlabelled(root, ["q00"], side=24)
    dataset = load(str(root), patient_column="person")
    assert not [line for line in odd_patients(dataset) if "upper and lower" in line]
    other = replace(dataset.unlabelled, patients=("P00",) * len(dataset.unlabelled.patients))
    (line,) = [
        line for line in odd_patients(replace(dataset, unlabelled=other)) if "upper and lower" in line
    ]
    assert "patients 'P00' and 'p00' differ in upper and lower case alone: taken for two" in line
