"""Probability maps from elsewhere: how they are read, what is refused, that they follow their images."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from image_files import add_unlabelled, write_folder
from volume_files import rotated, save, write_decathlon

from bench.data import datasets
from bench.data.map_agreement import check_agreement
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_maps import logits_of, maps_of, prepared_maps
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split, split_by_patient
from bench.data.stream import SampleStream
from bench.data.teacher_maps import decisions, find_maps, read_map
from bench.data.teacher_saw import patients_seen, with_unseen_tested
from bench.errors import UserError
from bench.study.store import Study
from methods.training.pm_kd import prediction_map_distance

SHAPE = (14, 20, 12)
TURNED = np.array([[0, -2.0, 0, 5], [0, 0, 1.5, 0], [1.0, 0, 0, 3], [0, 0, 0, 1]])
"""An affine whose axes point left-right last and one backwards."""


def soft(mask, classes, sure=0.9):
    """Probabilities ``(classes + 1, *spatial)`` that decide as the mask does."""
    one_hot = np.stack([mask == c for c in range(classes + 1)]).astype(np.float32)
    return (one_hot * (sure - (1 - sure) / classes) + (1 - sure) / classes).astype(np.float32)


def write_npz(folder, case, probabilities, key="probabilities"):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / f"{case}.npz", **{key: probabilities})


def label_in_file(root, case):
    return np.asarray(nib.load(root / "labelsTr" / f"{case}.nii.gz").dataobj)


@pytest.fixture(scope="module", params=["straight", "turned", "cubic"])
def volumes(request, tmp_path_factory):
    """A folder of volumes, and one of maps as nnU-Net writes them for it."""
    root = tmp_path_factory.mktemp("v")
    shape = (16, 16, 16) if request.param == "cubic" else SHAPE
    affine = TURNED if request.param == "turned" else None
    write_decathlon(root / "Balls", count=6, shape=shape, affine=affine)
    dataset = datasets.load(str(root / "Balls"), patient_key=r"person\d+")
    for case in dataset.cases:
        own = soft(label_in_file(root / "Balls", case), 2).astype(np.float16)
        write_npz(root / "maps", case, own.transpose(0, 3, 2, 1))
    return dataset, root


def test_nnunets_maps_of_volumes_lie_as_the_volumes_do(volumes):
    dataset, root = volumes
    maps = find_maps(root / "maps", dataset, dataset.cases)
    for case, mask in zip(dataset.cases, dataset.masks, strict=True):
        assert np.array_equal(decisions(read_map(maps.files[case], dataset, case)), mask)
    assert check_agreement(maps, dataset, dataset.cases) == 1


def test_niftis_and_version_1_say_the_same(volumes, tmp_path):
    dataset, root = volumes
    label = nib.load(root / "Balls" / "labelsTr" / f"{dataset.cases[0]}.nii.gz")
    own = soft(np.asarray(label.dataobj), 2)
    case = dataset.cases[0]
    save(tmp_path / f"{case}.nii.gz", np.moveaxis(own, 0, -1), label.affine)
    write_npz(tmp_path / "one", case, own.transpose(0, 3, 2, 1), "softmax")
    expected = read_map(root / "maps" / f"{case}.npz", dataset, case)
    for path in (tmp_path / f"{case}.nii.gz", tmp_path / "one" / f"{case}.npz"):
        assert np.allclose(read_map(path, dataset, case), expected, atol=1e-3)


ANOTHER_ORDER = np.array([[2, -1], [0, 1], [1, -1]])
"""Of a file's axes; two of them run the other way."""


def moved(affine, by):
    return affine + np.array([[0, 0, 0, step] for step in (*by, 0)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda map_: map_.as_reoriented(ANOTHER_ORDER), ""),
        (lambda map_: nib.Nifti1Image(map_.dataobj, moved(map_.affine, (0.1, 0, 0))), ""),
        (lambda map_: nib.Nifti1Image(map_.dataobj, moved(map_.affine, (0, 0, 6))), "voxels away from"),
        (lambda map_: nib.Nifti1Image(map_.dataobj, 3 * map_.affine), "map has a spacing of"),
        (lambda map_: nib.Nifti1Image(map_.dataobj, np.diag([-1, 1, 1, 1]) @ map_.affine), "away from"),
        (lambda map_: nib.Nifti1Image(map_.dataobj, rotated(20) @ map_.affine), "but turned"),
        (lambda map_: map_.slicer[1:], "a map must cover its whole image"),
    ],
    ids=[
        "its affine says how it is turned",
        "a tenth",
        "moved",
        "scaled",
        "flipped alone",
        "rotated",
        "cropped",
    ],
)
def test_a_nifti_lies_on_the_grid_of_its_image(volumes, tmp_path, change, message):
    dataset, root = volumes
    case = dataset.cases[0]
    label = nib.load(root / "Balls" / "labelsTr" / f"{case}.nii.gz")
    own = np.moveaxis(soft(np.asarray(label.dataobj), 2), 0, -1)
    path = tmp_path / f"{case}.nii.gz"
    nib.save(change(nib.Nifti1Image(own, label.affine)), path)
    if message:
        with pytest.raises(UserError, match=message) as error:
            read_map(path, dataset, case)
        assert "\n" not in str(error.value)
    else:
        assert np.array_equal(decisions(read_map(path, dataset, case)), dataset.masks[0])


def contradict(path):
    """Turn the qform by a quarter against the sform."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    image.set_sform(np.eye(4), 1)
    image.set_qform(np.array([[0, -2.0, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]), 1)
    nib.save(nib.Nifti1Image(array, None, image.header), path)


def test_of_images_without_affines_a_niftis_spacing_is_compared(volumes, tmp_path):
    """Of a dataset that was made, or that a plug-in brings."""
    dataset, _ = volumes
    case = dataset.cases[0]
    own = np.moveaxis(soft(dataset.masks[0], 2), 0, -1)
    affine = np.diag([*dataset.spacing[0], 1.0])
    for scale in (1, 3):
        save(tmp_path / f"{scale}" / f"{case}.nii.gz", own, affine @ np.diag([scale] * 3 + [1]))
    bare = replace(dataset, affines=())
    assert np.array_equal(
        decisions(read_map(tmp_path / "1" / f"{case}.nii.gz", bare, case)), dataset.masks[0]
    )
    with pytest.raises(UserError, match="map has a spacing of"):
        read_map(tmp_path / "3" / f"{case}.nii.gz", bare, case)


def test_which_affine_counts_is_asked_once_for_images_and_maps(tmp_path):
    """Where sform and qform mean other voxels, --affine speaks of the maps too."""
    root = write_decathlon(tmp_path / "Balls", count=4)
    for path in root.glob("*Tr/*.nii.gz"):
        contradict(path)
    dataset = datasets.load(str(root), patient_key=r"person\d+", affine="qform")
    case = dataset.cases[0]
    path = tmp_path / f"{case}.nii.gz"
    label = nib.load(root / "labelsTr" / f"{case}.nii.gz")
    own = nib.Nifti1Image(np.moveaxis(soft(np.asarray(label.dataobj), 2), 0, -1), None, label.header)
    nib.save(own, path)
    assert np.array_equal(decisions(read_map(path, dataset, case)), dataset.masks[0])
    with pytest.raises(UserError, match="--affine sform or --affine qform"):
        read_map(path, replace(dataset, affine=""), case)


def test_turned_maps_are_refused_even_where_the_shape_cant_tell(volumes, tmp_path):
    dataset, root = volumes
    for case in dataset.cases:
        with np.load(root / "maps" / f"{case}.npz") as content:
            write_npz(tmp_path, case, content["probabilities"].transpose(0, 3, 2, 1))
    cubic = len(set(dataset.masks[0].shape)) == 1
    with pytest.raises(UserError) as error:
        check_agreement(find_maps(tmp_path, dataset, dataset.cases), dataset, dataset.cases)
    assert ("maps must lie like their images" if cubic else "its image") in str(error.value)
    assert "\n" not in str(error.value)


def test_classes_in_another_order_are_refused(volumes, tmp_path):
    dataset, root = volumes
    for case in dataset.cases:
        with np.load(root / "maps" / f"{case}.npz") as content:
            write_npz(tmp_path, case, content["probabilities"][[0, 2, 1]])
    maps = find_maps(tmp_path, dataset, dataset.cases)
    with pytest.raises(UserError, match=r"1\.00 if the channels are Back, Front; must be Front, Back"):
        check_agreement(maps, dataset, dataset.cases)


def test_one_class_in_the_place_of_the_background_is_refused(polyps, tmp_path):
    for case in polyps.cases:
        write_npz(tmp_path / "swapped", case, good(polyps, case)[::-1])
        write_npz(tmp_path / "blank", case, np.stack([np.ones((24, 24)), np.zeros((24, 24))]))
    with pytest.raises(UserError, match=r"1\.00 if they are inverted; the last channel must be the"):
        check_agreement(find_maps(tmp_path / "swapped", polyps, polyps.cases), polyps, polyps.cases)
    blank = find_maps(tmp_path / "blank", polyps, polyps.cases)
    assert check_agreement(blank, polyps, polyps.cases) == 0, "one that finds nothing has swapped nothing"


@pytest.fixture(scope="module")
def polyps(tmp_path_factory):
    root = write_folder(tmp_path_factory.mktemp("p") / "polyps", classes=1, side=24)
    add_unlabelled(root, ["q00"], side=24)
    return datasets.load(str(root), patient_column="person")


def good(polyps, case="p00_0"):
    return soft(polyps.masks[polyps.cases.index(case)], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:, :-4], "is 20x24, its image 24x24; a map must cover its whole image, so undo crop"),
        (np.log, "must be probabilities from 0 to 1, not logits"),
        (lambda p: np.concatenate([p, p]), "holds 4 channels; must hold 2: background, foreground"),
        (lambda p: p * 0.5, "the classes' probabilities sum to 0.5 somewhere; must be 1"),
        (lambda p: p * np.nan, "holds NaN or infinite values"),
        (lambda p: p[0], "probabilities is 2-D; must be 3-D, channels first"),
    ],
)
def test_what_is_no_map_of_the_image_is_one_line(polyps, tmp_path, change, message):
    write_npz(tmp_path, "p00_0", change(good(polyps)))
    with pytest.raises(UserError) as error:
        read_map(tmp_path / "p00_0.npz", polyps, "p00_0")
    assert message in str(error.value)
    assert str(tmp_path / "p00_0.npz") in str(error.value)


def test_the_foreground_alone_and_nnunets_form_of_an_image_will_do(polyps, tmp_path):
    expected = good(polyps)[1:]
    for k, form in enumerate((good(polyps), good(polyps)[1:], good(polyps)[:, None])):
        write_npz(tmp_path / str(k), "p00_0", form)
        assert np.array_equal(read_map(tmp_path / str(k) / "p00_0.npz", polyps, "p00_0"), expected)


def test_reversed_axes_are_named(tmp_path):
    root = write_decathlon(tmp_path / "Balls", count=4)
    dataset = datasets.load(str(root), patient_key=r"person\d+")
    case = dataset.cases[0]
    write_npz(tmp_path / "m", case, soft(dataset.masks[0], 2))
    with pytest.raises(UserError, match="its axes are in reverse"):
        read_map(tmp_path / "m" / f"{case}.npz", dataset, case)


def test_files_that_are_none(polyps, tmp_path):
    def refusal(call):
        with pytest.raises(UserError) as error:
            call()
        return str(error.value)

    assert "no such folder" in refusal(lambda: find_maps(tmp_path / "x", polyps, ["p00_0"]))
    line = refusal(lambda: find_maps(tmp_path, polyps, ["p00_0", "p00_1"]))
    assert "no map of case 'p00_0' and of 1 more; must hold p00_0.npz" in line
    (tmp_path / "p00_0.npz").write_bytes(b"no archive")
    assert "not a readable .npz" in refusal(lambda: read_map(tmp_path / "p00_0.npz", polyps, "p00_0"))
    write_npz(tmp_path, "p00_0", good(polyps), "logits")
    assert "holds logits; must hold probabilities or softmax" in refusal(
        lambda: read_map(tmp_path / "p00_0.npz", polyps, "p00_0")
    )
    (tmp_path / "p00_1.nii.gz").write_bytes(b"")
    (tmp_path / "p00_1.nii").write_bytes(b"")
    assert "p00_1.nii is there as well" in refusal(lambda: find_maps(tmp_path, polyps, ["p00_1"]))


def test_a_folder_as_nnunet_leaves_it_will_do(volumes, tmp_path):
    """With --save_probabilities: maps and properties of each case, and beside them what was decided."""
    dataset, root = volumes
    shutil.copytree(root / "maps", tmp_path / "m")
    for case in dataset.cases:
        shutil.copy(root / "Balls" / "labelsTr" / f"{case}.nii.gz", tmp_path / "m")
        (tmp_path / "m" / f"{case}.pkl").write_bytes(b"")
    (tmp_path / "m" / "dataset.json").write_text("{}")
    maps = find_maps(tmp_path / "m", dataset, dataset.cases[:3])
    assert {path.suffix for path in maps.files.values()} == {".npz"}
    assert list(maps.files) == list(dataset.cases[:3]), "what nobody needs is not looked at"


@pytest.mark.parametrize("at", [0, 5])
def test_one_map_that_is_flipped_is_named(volumes, tmp_path, at):
    """As of a tool that turns some images before it predicts, and not others."""
    dataset, root = volumes
    shutil.copytree(root / "maps", tmp_path / "m")
    case = dataset.cases[at]
    with np.load(root / "maps" / f"{case}.npz") as content:
        write_npz(tmp_path / "m", case, content["probabilities"][:, ::-1, ::-1])
    with pytest.raises(UserError, match=rf"{case}\.npz: Dice .* to its mask, but 1\.00 .*flipped along"):
        check_agreement(find_maps(tmp_path / "m", dataset, dataset.cases), dataset, dataset.cases)


def test_cases_without_an_object_tell_nothing(polyps, tmp_path):
    empty = replace(polyps, masks=[np.zeros_like(mask) for mask in polyps.masks[:-1]] + [polyps.masks[-1]])
    for case in polyps.cases:
        write_npz(tmp_path, case, good(polyps, case)[:, ::-1])
    maps = find_maps(tmp_path, empty, empty.cases)
    with pytest.raises(UserError, match="flipped along"):
        check_agreement(maps, empty, empty.cases)
    assert np.isnan(check_agreement(maps, empty, empty.cases[:-1]))


def scaled(images):
    """Images as if they were probabilities, by the same map for all."""
    low, high = min(image.min() for image in images), max(image.max() for image in images)
    return [(image.astype(np.float32) - low) / (high - low) for image in images], float(low), float(high)


def test_maps_of_images_take_every_way_of_the_images(polyps, tmp_path):
    """The red channel as a map: after resizing, cropping and flipping it is that channel still."""
    reds, low, high = scaled([image[0] for image in (*polyps.images, *polyps.unlabelled.images)])
    for case, red in zip((*polyps.cases, *polyps.unlabelled.cases), reds, strict=True):
        write_npz(tmp_path, case, red[None])
    prepared = PreparedImages(polyps, split_by_patient(polyps), 16)
    maps = prepared_maps(maps_of(tmp_path, prepared), prepared)
    rows = range(len(prepared.sample_patients) + len(prepared.unlabelled_patients))
    images = prepared.take(list(rows), (0, 0, 0))[0][:, :1]
    mean, std = prepared.normalisation.mean[0], prepared.normalisation.std[0]
    own = maps.take(list(rows), (0, 0, 0))[0] * (high - low) + low
    assert torch.allclose(own, images * std + mean, atol=1e-2)
    for epoch, batch in ((0, 0), (3, 5)):
        x, y = SampleStream(prepared, 1).batch(epoch, batch)
        p, same = SampleStream(maps, 1).batch(epoch, batch)
        assert torch.allclose(p * (high - low) + low, x[:, :1] * std + mean, atol=1e-2)
        assert torch.equal(y, same)


@pytest.mark.parametrize("slices", ["", "axial"])
def test_maps_of_volumes_take_every_way_of_the_volumes(tmp_path, slices):
    root = write_decathlon(tmp_path / "Balls", count=8, affine=TURNED)
    dataset = datasets.load(str(root), patient_key=r"person\d+")
    for case in dataset.cases:
        own = soft(label_in_file(root, case), 2, sure=1.0)
        write_npz(tmp_path / "m", case, own.transpose(0, 3, 2, 1))
    prepared = PreparedVolumes(dataset, split_by_patient(dataset), 16, slices)
    maps = prepared_maps(maps_of(tmp_path / "m", prepared), prepared)
    stream, other = SampleStream(prepared, 1), SampleStream(maps, 1)
    labels = stream.unaugmented(2, 3)[1]
    p = other.unaugmented(2, 3)[0]
    assert torch.equal(torch.cat([1 - p.sum(1, keepdim=True), p], dim=1).argmax(dim=1), labels.long())
    y, p = stream.batch(2, 3)[1], other.batch(2, 3)[0]
    said = torch.cat([1 - p.sum(1, keepdim=True), p], dim=1).argmax(dim=1)
    assert (said == y).float().mean() > 0.95, "linear and nearest sampling differ at edges alone"
    assert (said > 0).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_logits_of_maps_are_those_of_the_network_that_made_them(channels):
    z = torch.randn(2, channels, 5, 4, generator=torch.Generator().manual_seed(0))
    p = z.sigmoid() if channels == 1 else z.softmax(dim=1)[:, 1:]
    assert torch.allclose(prediction_map_distance(z, logits_of(p)), torch.zeros(2), atol=1e-5)
    sure = logits_of(torch.eye(max(1, channels - 1))[None, :, :, None])
    assert sure.isfinite().all()


def test_patients_whom_the_teacher_saw_are_trained_on_instead_of_tested(polyps, tmp_path):
    (tmp_path / "saw.txt").write_text("p05\nsomebody else\n\n")
    seen = patients_seen(str(tmp_path / "saw.txt"))
    assert seen == {"p05", "somebody else"}
    assert patients_seen("unknown") is None
    parts = ((0, 1), (2, 3), (4, 5))
    split = Split(*(tuple(f"p{k:02}_{n}" for k in part for n in (0, 1)) for part in parts))
    (found,) = with_unseen_tested([split], polyps, seen)
    assert found.test == ("p04_0", "p04_1")
    assert found.val == split.val
    assert set(found.train) == {*split.train, "p05_0", "p05_1"}
    with pytest.raises(UserError, match="saw all patients of fold 1"):
        with_unseen_tested([split, Split(split.test, split.val, ("p05_0",))], polyps, seen)
    with pytest.raises(UserError, match="must be a file with a patient a line, or unknown"):
        patients_seen(str(tmp_path / "none.txt"))


@pytest.fixture
def arguments(tmp_path):
    """A study of synthetic slices taught by maps that are the masks, not quite sure."""
    dataset = datasets.load("phantom")
    for case, mask in zip(dataset.cases, dataset.masks, strict=True):
        write_npz(tmp_path / "maps", case, soft(mask, 1).astype(np.float16))
    matrix = {
        "teacher": "unet-4-8", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd", "at-kd"],
        "image_size": 16, "updates": 40, "workers": 1,
    }  # fmt: skip
    (tmp_path / "m.yaml").write_text(json.dumps(matrix))
    return (
        *("--matrix", tmp_path / "m.yaml", "--results", tmp_path / "s", "--device", "cpu", "--no-compile"),
        *("--teacher-maps", tmp_path / "maps"),
    )


def test_who_was_seen_must_be_said_and_fits(refused, arguments, tmp_path):
    line = refused(*arguments, "--dry-run")
    assert "a study with maps can't tell which patients" in line
    assert "--teacher-saw FILE (or unknown)" in line
    everybody = tmp_path / "all.txt"
    everybody.write_text("\n".join(datasets.load("phantom").patients))
    line = refused(*arguments, "--teacher-saw", everybody, "--dry-run")
    assert "the teacher saw all patients of the test part" in line
    line = refused(*arguments[:-2], "--teacher-saw", "unknown", "--dry-run")
    assert "--teacher-saw unknown: goes with --teacher or --teacher-maps" in line
    few = json.loads((tmp_path / "m.yaml").read_text()) | {"labels": 4}
    (tmp_path / "m.yaml").write_text(json.dumps(few))
    line = refused(*arguments, "--teacher-saw", "unknown", "--dry-run")
    assert "must go with teacher_labels: all" in line
    assert not (tmp_path / "s").exists()


def test_cases_in_the_place_of_patients_are_refused(refused, arguments, tmp_path):
    case = datasets.load("phantom").cases[0]
    (tmp_path / "saw.txt").write_text(f"somebody\n{case}\n")
    line = refused(*arguments, "--teacher-saw", tmp_path / "saw.txt", "--dry-run")
    assert f"--teacher-saw: names case {case!r}; must name patients, here 'phantom000'" in line


def test_what_is_odd_about_maps_is_said(bench, arguments, tmp_path):
    """Masks where probabilities belong; a teacher that saw those who choose the epoch."""
    dataset = datasets.load("phantom")
    for case, mask in zip(dataset.cases, dataset.masks, strict=True):
        write_npz(tmp_path / "maps", case, soft(mask, 1, sure=1.0))
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    (tmp_path / "saw.txt").write_text(patient_of[split_by_patient(dataset).val[0]])
    done = bench(*arguments, "--teacher-saw", tmp_path / "saw.txt", "--dry-run")
    assert done.code == 0, done.err
    said = done.out + done.err
    assert "holds nothing but 0 and 1, as masks do; are these probabilities" in said
    assert "the teacher saw 1 of 4 validation patients" in said


def test_maps_teach_without_a_network(bench, refused, arguments, tmp_path, monkeypatch, short, no_figures):
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    seen = split_by_patient(datasets.load("phantom")).test[0].split("_")[0]
    (tmp_path / "saw.txt").write_text(seen)
    result = bench(*arguments, "--teacher-saw", tmp_path / "saw.txt")
    assert result.code == 0, result.err
    assert "Dice 1.000 to the masks of training cases" in result.out
    study = Study(tmp_path / "s")
    jobs = {job.method: job for job in study.jobs()}
    assert {job.architecture for job in study.jobs()} == {"unet-2-4"}, "no teacher is trained"
    assert jobs["pm-kd"].maps and not jobs["baseline"].maps
    assert "given maps have none" in study.record(jobs["at-kd"].id)["reason"]
    record = study.record(jobs["pm-kd"].id)
    assert record["status"] == "done"
    assert seen not in {row["patient"] for row in record["test"]["rows"]}
    assert record["curves"][-1]["pm"] < record["curves"][0]["pm"]
    case = split_by_patient(datasets.load("phantom")).train[0]
    (tmp_path / "maps" / f"{case}.npz").unlink()
    assert f"no map of case {case!r}" in refused(*arguments, "--teacher-saw", tmp_path / "saw.txt")


def test_what_is_unknown_carries_no_claim(bench, arguments, monkeypatch, tmp_path):
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)
    result = bench(*arguments, "--folds", 3, "--teacher-saw", "unknown")
    assert result.code == 0, result.err
    assert "the teacher may have seen the patients that are tested" in result.out + result.err
    settings = Study(tmp_path / "s").settings()
    assert settings["teacher_saw"] == "unknown"
    assert settings["contrasts"] == []
