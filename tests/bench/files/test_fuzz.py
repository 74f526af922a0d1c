"""Thousands of broken files, of every kind that is read: each is one clear line, and none is changed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from mutations import NAMES, broken_bytes, broken_json, fuzz, mutated
from PIL import Image
from samples import a_setting
from volume_files import LABELS, ball_volume, save

from bench.data import image_folder, nifti, phantom, volume_folder
from bench.data.datasets import load, locate
from bench.data.decoded import decode_once, keep_decoded
from bench.data.splits import PARTS, split_by_patient
from bench.data.splits_file import read_splits, write_splits
from bench.errors import UserError
from bench.files.atomic import write_json
from bench.files.checked import name_fault, was_set_aside
from bench.planning.cells import cells
from bench.planning.matrix import read_matrix
from bench.report import frames, method_names
from bench.report.comparisons import comparisons
from bench.report.page.page import page_data
from bench.running.record import shown
from bench.study.predictions import pack_masks, read_masks
from bench.study.profile import entry_key, read_profile
from bench.training.artefacts import about_of
from bench.training.job_parts import check_teacher, network, read_artefact
from methods.artefact import TorchArtefact

SETTING = a_setting(image_size=16)
MATRIX = {
    "teacher": "unet-2-4", "students": ["unet-2", "unet-4"], "plain": ["unet-2-4"],
    "methods": ["baseline", "pm-kd[temperature=2]"], "seg_loss": ["dice-bce"], "seeds": [0, 1],
    "dataset": "phantom", "image_size": 16, "workers": 1,
}  # fmt: skip
BOMB = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b} {{<<: [*{a}, *{a}, *{a}, *{a}]}}\n"
    for a, b in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
)
YAML_TEXTS = [
    *(BOMB, MERGES, "teacher: !!python/object/apply:os.system [ls]", "teacher: &x a\nstudents: [*x]"),
    *(
        "teacher: a\nteacher: b",
        "[" * 10_000,
        "{a: " * 10_000,
        "seeds: [2026-99-99]",
        "seeds: [0x" + "f" * 5000,
    ),
    *(
        "students: !!set {unet-2, unet-4}",
        "? [a]\n: b",
        "2026-01-01: x",
        "teacher: a\n---\nteacher: b",
        "\t",
    ),
    *("teacher: !!binary dW5ldC0y", "seeds: [" + "9" * 5000 + "]", "\ufeffteacher: unet-2", "'a\\0b': 1"),
]


def test_matrices(tmp_path):
    path = tmp_path / "mine.yaml"

    def attempt(random):
        what = random.randrange(8)
        if what == 0:
            path.write_text(random.choice(YAML_TEXTS))
        elif what < 3:
            path.write_bytes(broken_bytes(yaml.safe_dump(MATRIX).encode(), random))
        else:
            path.write_text(yaml.safe_dump(mutated(MATRIX, random)))

        def read():
            matrix = read_matrix(str(path))
            locate(matrix.dataset, None)
            planned = [cell.job for cell in cells(matrix, SETTING)]
            assert len(set(planned)) == len(planned)

        return read

    fuzz(attempt, tmp_path, 900)


@pytest.mark.parametrize("text", YAML_TEXTS)
def test_yaml_that_is_more_than_it_seems(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml"):
        read_matrix(str(path))


@pytest.fixture
def study(simulated):
    """Two finished jobs, one of them taught, and one that failed."""
    simulated.patients = simulated.cases = 2
    simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    job = simulated.job("unet-32-64", "pm-kd", 0)
    simulated.study.plan(job)
    failed = {"id": job.id, "status": "failed", "reason": "because", "job": job.as_dict()}
    write_json(simulated.study.path("records", job.id), failed)
    simulated.measure()
    return simulated.study


def test_settings(simulated):
    path = simulated.study.root / "study.json"
    valid = {
        "protocol": 1, "dataset": "phantom", "data": "d", "split": "s", "synthetic": True, "device": "cpu",
        "threads": 2, "workers": 1, "precision": "fp32", "compile": True, "micro_batch": 4,
        "memory_gb": 1.5, "measured": {"ratio": 1.2},
    }  # fmt: skip

    def attempt(random):
        path.write_bytes(broken_json(valid, random))
        return simulated.study.settings

    fuzz(attempt, simulated.study.root, 500)


def test_jobs(study):
    job = next(job for job in study.jobs() if job.teachers)
    path = study.path("jobs", job.id)
    valid = job.as_dict()

    def attempt(random):
        path.write_bytes(broken_json(valid, random))

        def read():
            found = study.job(job.id)
            assert found == job, "another job has another id"

        return read

    fuzz(attempt, study.root / "jobs", 500, 0.8)


@pytest.mark.parametrize("field", ["teachers", "split", "precision"])
@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "..", "a\0b", "a\n", ""])
def test_a_job_never_leads_out_of_its_study(study, field, name):
    """A recording that isn't whole is removed, so its folder must be the study's own."""
    job = next(job for job in study.jobs() if job.teachers)
    other = replace(job, **{field: (name,) if field == "teachers" else name})
    write_json(study.root / "jobs" / f"{other.id}.json", other.as_dict())
    with pytest.raises(UserError, match="not a job of this version"):
        study.job(other.id)
    assert study.targets_folder(job).parent == study.root / "targets"
    with pytest.raises(UserError, match="can't be a job's id"):
        study.path("weights", name)


@pytest.mark.slow
def test_records(study, monkeypatch):
    for kept in ("_labels", "_ranks"):  # what broken records say is for this test only
        monkeypatch.setattr(method_names, kept, dict(getattr(method_names, kept)))
    done = next(record for record in study.records() if record["job"]["teachers"] and "val" in record)
    done["test"] = {**done["val"], "rows": done["val"]["rows"][:1]}
    done["curves"] = done["curves"][:2]
    names = {"shown": shown(study.job(done["id"]))}
    path = study.path("records", done["id"])

    def attempt(random):
        path.write_bytes(broken_json(done | (names if random.random() < 0.5 else {}), random))

        def read():
            frame = frames.summary(study)
            scored = frames.cases(study, "val")
            left_out = {done["id"]} if was_set_aside(path) else set()
            assert set(frame.id) == {job.id for job in study.jobs()} - left_out
            compared = comparisons(frame[frame.status == "done"], scored)
            page_data(study, frame, scored, frames.curves(study), compared)

        return read

    fuzz(attempt, study.root, 60)


def test_measurements(study):
    path = study.root / "profile.json"
    valid = {"entries": json.loads(path.read_text())["entries"][:2]}
    valid["entries"][0] |= {"stride": 8, "receptive_field": 92}

    def attempt(random):
        path.write_bytes(broken_json(valid, random))

        def read():
            assert len({entry_key(entry) for entry in read_profile(study)}) <= 3
            frames.latency(study)

        return read

    fuzz(attempt, study.root, 300)


def test_splits(tmp_path):
    dataset = phantom.generate(patients=5, slices=2, side=16)
    path = tmp_path / "splits.json"
    write_splits(path, [split_by_patient(dataset)])
    valid = json.loads(path.read_text())
    patient = dict(zip(dataset.cases, dataset.patients, strict=True))

    def attempt(random):
        path.write_bytes(broken_json(valid, random))

        def read():
            for split in read_splits(path, dataset):
                parts = [{patient[case] for case in getattr(split, part)} for part in PARTS]
                assert len(set.union(*parts)) == sum(map(len, parts))

        return read

    fuzz(attempt, tmp_path, 600, 0.5)


@pytest.fixture
def slices(tmp_path):
    """A folder of three tiny images."""
    root = tmp_path / "slices"
    for kind, value in (("images", 7), ("masks", 255)):
        (root / kind).mkdir(parents=True)
        for k in range(3):
            pixels = np.full((6, 5), value, np.uint8)
            pixels[k] = 0
            Image.fromarray(pixels).save(root / kind / f"s{k}.png")
    (root / "index.csv").write_text("file,volume\ns0.png,a\ns1.png,a\ns2.png,b\n")
    return root


def test_image_folders(slices, tmp_path):
    index = slices / "index.csv"
    rows = index.read_text().splitlines()

    def attempt(random):
        if random.randrange(3) == 0:
            index.write_bytes(broken_bytes("\n".join(rows).encode(), random))
        else:
            own = list(rows)
            line = random.randrange(4)
            fields = own[line].split(",")
            fields[random.randrange(2)] = random.choice(NAMES)
            own[line] = ",".join(fields)
            index.write_bytes("\n".join(own * random.randint(1, 2)).encode(errors="surrogatepass"))

        def read():
            dataset = image_folder.load("x", slices, "volume", "liver")
            assert len(set(dataset.cases)) == len(dataset.cases) == len(dataset.images)
            assert not any(map(name_fault, (*dataset.cases, *dataset.patients)))

        return read

    fuzz(attempt, slices, 500)


def test_images(slices):
    path = slices / "images" / "s0.png"
    valid = path.read_bytes()

    def attempt(random):
        path.write_bytes(broken_bytes(valid, random))

        def read():
            assert image_folder.read_grey(path).dtype == np.uint8

        return read

    fuzz(attempt, slices / "images", 400, 0.5)


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [
        ("I;16", (4, 4), "has pixels of the kind I;16"),
        ("F", (4, 4), "kind F"),
        ("1", (20_000, 9_000), "bomb"),
    ],
)
def test_images_that_would_be_read_wrongly(tmp_path, mode, size, message):
    path = tmp_path / "x.tiff"
    Image.new(mode, size).save(path, compression="tiff_deflate" if mode == "1" else None)
    with pytest.raises(UserError, match=message):
        image_folder.read_grey(path)


@pytest.fixture
def volumes(tmp_path):
    """Two tiny volumes that both layouts understand."""
    root = tmp_path / "volumes"
    for case in ("a", "b"):
        image, label = ball_volume(0, (4, 4, 4))
        for name in (f"{case}.nii.gz", f"{case}_0000.nii.gz"):
            save(root / "imagesTr" / name, image)
        save(root / "labelsTr" / f"{case}.nii.gz", np.minimum(label, 2))
    return root


LISTED = {
    "modality": {"0": "MRI"}, "labels": LABELS, "licence": "none",
    "training": [{"image": f"./imagesTr/{c}.nii.gz", "label": f"./labelsTr/{c}.nii.gz"} for c in "ab"],
}  # fmt: skip
FOUND = {
    "channel_names": {"0": "CT"}, "labels": {"background": 0, "Front": 1, "Back": 2},
    "numTraining": 2, "file_ending": ".nii.gz",
}  # fmt: skip


@pytest.mark.parametrize("valid", [LISTED, FOUND], ids=["decathlon", "nnunet"])
def test_volume_folders(volumes, valid):
    path = volumes / "dataset.json"

    def attempt(random):
        path.write_bytes(broken_json(valid, random))

        def read():
            layout = volume_folder.read_layout(volumes)
            for entry in layout.entries:
                for file in (*entry.images, entry.label):
                    assert file.resolve().is_relative_to(volumes)
                assert not name_fault(entry.case)
            assert not any(map(name_fault, (*layout.labels.values(), *layout.modalities)))
            assert 0 in layout.labels
            assert max(layout.labels) >= 1

        return read

    fuzz(attempt, volumes, 400)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_volumes(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    save(path, ball_volume(0, (4, 5, 6))[0])
    valid = path.read_bytes()

    def attempt(random):
        # Of a bare file the header, where most bytes mean something.
        head = valid if ending == ".nii.gz" else valid[:352]
        path.write_bytes(broken_bytes(head, random) + valid[len(head) :])

        def read():
            image = nifti.open_image(path)
            assert all(map(math.isfinite, nifti.canonical_spacing(image)))
            data = nifti.intensities(nifti.canonical_array(image), path)
            assert np.isfinite(data).all()

        return read

    fuzz(attempt, tmp_path, 400)


def test_weights(study):
    job = replace(study.jobs()[0], architecture="unet-2")
    path = study.path("weights", job.id)
    path.parent.mkdir()
    TorchArtefact(network(job)).save(path)
    valid = path.read_bytes()

    def attempt(random):
        path.write_bytes(broken_bytes(valid, random))
        return lambda: read_artefact(study, job)

    fuzz(attempt, path.parent, 300)
    TorchArtefact(network(job), about_of(job)).save(path)
    valid = path.read_bytes()
    fuzz(attempt, path.parent, 300)
    broken = TorchArtefact(network(job))
    torch.nn.init.constant_(broken.module.head.bias, math.nan)
    broken.save(path)
    with pytest.raises(UserError, match=r"head\.bias holds NaN"):
        check_teacher(path, "unet-2", SETTING.job)


def test_predictions(tmp_path):
    path = tmp_path / "p.npz"
    masks = [np.eye(5, 6, dtype=np.uint8), np.full((4, 4), 2, np.uint8)]
    np.savez_compressed(path, **pack_masks(masks, ["a", "../b"]))
    assert [mask.shape for mask in read_masks(path).values()] == [(5, 6), (4, 4)]
    valid = path.read_bytes()

    def attempt(random):
        path.write_bytes(broken_bytes(valid, random))
        return lambda: read_masks(path)

    fuzz(attempt, tmp_path, 400)


def test_a_damaged_cache_is_made_again(tmp_path):
    dataset = phantom.generate(patients=2, slices=1, side=16)
    keep_decoded(tmp_path, dataset)
    folder = tmp_path / dataset.stored_as
    path = folder / "m1.npy"
    valid = path.read_bytes()

    def attempt(random):
        # What is inside the voxels can't be noticed; the header and the length can.
        path.write_bytes(broken_bytes(valid[:128], random) + valid[128:])

        def read():
            made = []
            images, masks, _ = decode_once(
                tmp_path, folder.name, 2, lambda: made.append(1) or (dataset.images, dataset.masks)
            )
            assert len(images) == len(masks) == 2
            assert masks[1].shape == dataset.masks[1].shape
            if made:
                raise UserError("this one was not used")

        return read

    fuzz(attempt, tmp_path, 300, 0.2)
    path.unlink()
    keep_decoded(tmp_path, dataset)
    assert path.read_bytes() == valid


class Trap:
    """Something that leaves a trace when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path, study):
    ran = tmp_path / "ran"
    trap = np.array([Trap(ran)], dtype=object)
    dataset = phantom.generate(patients=2, slices=1, side=16)
    keep_decoded(tmp_path / "cache", dataset)
    for path in (tmp_path / "cache").rglob("*.npy"):
        np.save(path, trap, allow_pickle=True)
    decode_once(tmp_path / "cache", dataset.stored_as, 2, lambda: ([], []))
    np.savez(tmp_path / "p.npz", cases=trap)
    with pytest.raises(UserError, match=r"p\.npz: not a file of predictions"):
        read_masks(tmp_path / "p.npz")
    job = replace(study.jobs()[0], architecture="unet-2")
    path = study.path("weights", job.id)
    path.parent.mkdir()
    torch.save(Trap(ran), path)
    with pytest.raises(UserError, match="not a safetensors file"):
        read_artefact(study, job)
    with pytest.raises(UserError, match="--teacher"):
        check_teacher(path, "unet-2", SETTING.job)
    assert not ran.exists()


def test_a_hidden_file_is_still_being_written(study):
    before = study.records()
    for kind in ("records", "jobs"):
        (study.root / kind / f".{before[0]['id']}.1.json").write_text("{")
    assert study.records() == before
    assert len(study.jobs()) == 4


def test_a_damaged_job_file_is_planned_again(study):
    job = study.jobs()[0]
    study.path("jobs", job.id).write_text("{")
    study.plan(job)
    assert study.job(job.id) == job


def test_a_record_of_another_job_is_named(study, told, capsys):
    first, second, *_ = study.records()
    study.path("records", first["id"]).write_text(json.dumps(second))
    assert first["id"] not in [record["id"] for record in study.records()]
    assert f"not a record of job {first['id']}: its id is {second['id']}" in capsys.readouterr().err


def test_class_names_that_are_columns_already_are_refused(volumes):
    for labels in ({"background": 0, "slice": 1}, {"background": 0, "x": 1, "x_val": 2}):
        (volumes / "dataset.json").write_text(json.dumps({**FOUND, "labels": labels}))
        with pytest.raises(UserError, match="is a column already"):
            load("v", volumes)
