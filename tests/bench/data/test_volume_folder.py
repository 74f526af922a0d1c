"""Folders of volumes, both layouts, and everything that can be wrong with one."""

import gzip
import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from volume_files import LABELS, ball_volume, case, save, write_decathlon, write_nnunet

from bench.data import volume_folder
from bench.data.datasets import load, locate
from bench.data.decoded import keep_decoded
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import split_by_patient

FIRST = f"{case(0)}.nii.gz"


@pytest.fixture
def folder(tmp_path):
    return write_decathlon(tmp_path / "Task99_Balls", count=6)


def change(root, **values):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_reads_the_decathlons_layout(folder):
    dataset = load("balls", folder)
    assert dataset.cases[:2] == ("person00_a", "person00_b")
    assert dataset.patients == dataset.cases
    assert "a volume is taken for a patient" in dataset.note
    assert dataset.classes == ("Front", "Back")
    assert (dataset.in_channels, dataset.out_channels, dataset.spatial_dims) == (1, 3, 3)
    assert dataset.modalities == ("MRI",)
    assert dataset.spacing[0] == (1, 1, 1)
    image, label = ball_volume(0)
    assert np.array_equal(dataset.images[0][0], image)
    assert np.array_equal(dataset.masks[0], label)


def test_nnunets_layout_gives_the_same_arrays(folder, tmp_path):
    other = write_nnunet(tmp_path / "Dataset099_Balls", count=6)
    ours, theirs = load("balls", folder), load("balls", other)
    assert ours.cases == theirs.cases
    assert ours.classes == theirs.classes
    for a, b in zip(ours.images + ours.masks, theirs.images + theirs.masks, strict=True):
        assert np.array_equal(a, b)


def test_several_channels_from_both_layouts(tmp_path):
    image, label = ball_volume(0)
    channels = {"0": "T1", "1": "CT"}
    one = tmp_path / "one"
    save(one / "imagesTr" / "a.nii.gz", np.stack([image, -image], axis=-1))
    save(one / "labelsTr" / "a.nii.gz", label)
    listed = [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}]
    (one / "dataset.json").write_text(
        json.dumps({"modality": channels, "labels": LABELS, "training": listed})
    )
    two = tmp_path / "two"
    for channel, sign in enumerate((1, -1)):
        save(two / "imagesTr" / f"a_{channel:04}.nii.gz", sign * image)
    save(two / "labelsTr" / "a.nii.gz", label)
    (two / "dataset.json").write_text(json.dumps({"channel_names": channels, "labels": LABELS}))
    for root in (one, two):
        dataset = load("two-channels", root)
        assert dataset.modalities == ("T1", "CT")
        assert np.array_equal(dataset.images[0], np.stack([image, -image]))


def test_any_orientation_comes_out_canonical_with_its_spacing(tmp_path):
    image, label = ball_volume(0)
    plain = write_decathlon(tmp_path / "plain", count=1)
    turned = write_decathlon(tmp_path / "turned", count=1)
    # Stored as (z, -x, y) with 3, 1 and 2 mm: column k of the affine says where axis k goes.
    affine = np.array([[0, -1, 0, 13], [0, 0, 2, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)
    for kind, data in (("imagesTr", image), ("labelsTr", label)):
        save(turned / kind / FIRST, data.transpose(2, 0, 1)[:, ::-1], affine)
    a, b = load("x", plain), load("x", turned)
    assert np.array_equal(a.images[0], b.images[0])
    assert np.array_equal(a.masks[0], b.masks[0])
    assert b.spacing[0] == (1, 2, 3)


def test_the_patient_key(folder):
    assert set(load("balls", folder, patient_key=r"person(\d+)").patients) == {"00", "01", "02"}
    assert "by the key" in load("balls", folder, patient_key="person..").note
    assert load("balls", folder).fingerprint != load("balls", folder, patient_key="person..").fingerprint


def test_a_registered_folder_with_a_patient_key_does_not_say_that_it_has_none(folder):
    assert "a volume is taken for a patient" in volume_folder.load("balls", folder).note
    keyed = volume_folder.load("balls", folder, patient=lambda case: case[:8])
    assert (keyed.note, keyed.patients[:3]) == ("", ("person00", "person00", "person01"))


def test_label_values_with_gaps_become_consecutive_classes(folder):
    change(folder, labels={"0": "background", "2": "Back", "7": "Front"})
    for k in range(6):
        _, label = ball_volume(k)
        save(folder / "labelsTr" / f"{case(k)}.nii.gz", np.where(label == 1, 7, label).astype(np.uint8))
    dataset = load("balls", folder)
    assert dataset.classes == ("Back", "Front")
    _, label = ball_volume(0)
    assert np.array_equal(dataset.masks[0] == 2, label == 1)


def test_labels_stored_as_floats_work_when_integral(folder):
    before = load("balls", folder)
    for k in range(6):
        save(folder / "labelsTr" / f"{case(k)}.nii.gz", ball_volume(k)[1].astype(np.float64))
    after = load("balls", folder)
    assert all(np.array_equal(a, b) for a, b in zip(before.masks, after.masks, strict=True))


def test_decodes_once(folder, tmp_path, monkeypatch):
    first = load("balls", folder)
    keep_decoded(tmp_path / "cache", first)
    monkeypatch.setattr(volume_folder, "_decode", lambda *_: pytest.fail("decoded again"))
    again = load("balls", folder, tmp_path / "cache")
    assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first.masks, again.masks, strict=True))


def test_a_folder_is_found_by_path_and_by_name(folder):
    assert locate(str(folder), None) == ("Task99_Balls", folder)
    assert locate("balls", folder) == ("balls", folder)
    assert locate("phantom", None) == ("phantom", None)


def test_hippocampus_is_what_its_readme_says(hippocampus_data):
    dataset = load("hippocampus", hippocampus_data)
    assert len(dataset.cases) == 260
    assert len(set(dataset.patients)) == 170
    assert dataset.classes == ("Anterior", "Posterior")
    pairs = dict(zip(dataset.cases, dataset.patients, strict=True))
    assert pairs["hippocampus_003"] == pairs["hippocampus_004"] != pairs["hippocampus_006"]
    assert set(dataset.spacing) == {(1, 1, 1)}
    assert "inferred" in dataset.note
    split = split_by_patient(dataset)
    parts = [
        {dataset.patients[k] for k in split.indices(dataset, part)} for part in ("train", "val", "test")
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 170, "people are kept together"
    volumes = PreparedVolumes(dataset, split, 64)
    assert volumes.patch == (48, 64, 48), "whole volumes, padded"
    assert 7 <= volumes.samples / 16 <= 10, "some 200 updates in 20 epochs"


def rewrite(root, kind, edit, **options):
    """Change the voxels of the first case's image or label."""
    path = root / kind / FIRST
    data = np.asarray(nib.load(path).dataobj)
    save(path, edit(data), **options)


def poke(value):
    def edit(data):
        data = data.copy()
        data[0, 0, 0] = value
        return data

    return edit


def same(data):
    return data


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


WIDE = np.diag([1, 1, 2.5, 1])
FLIPPED = np.diag([-1, 1, 1, 1])
BROKEN = {
    "4-D image": (lambda r: rewrite(r, "imagesTr", lambda d: np.stack([d, d], -1)), "is 4-D (14x20x12x2)"),
    "4-D label": (lambda r: rewrite(r, "labelsTr", lambda d: np.stack([d, d], -1)), "is 4-D (14x20x12x2)"),
    "2-D image": (lambda r: rewrite(r, "imagesTr", lambda d: d[..., 0]), "is 2-D"),
    "no affine": (lambda r: rewrite(r, "imagesTr", same, placed=False), "has no affine (sform_code"),
    "degenerate affine": (
        lambda r: degenerate(r / "imagesTr" / FIRST),
        "its affine is degenerate (voxels of 1x1x0 mm)",
    ),
    "other shape": (
        lambda r: rewrite(r, "labelsTr", lambda d: d[:-1]),
        f"label is 13x20x12 voxels, its image {FIRST} 14x20x12",
    ),
    "other spacing": (
        lambda r: rewrite(r, "labelsTr", same, affine=WIDE),
        f"label has a spacing of 1x1x2.5 mm, its image {FIRST} 1x1x1 mm",
    ),
    "other orientation": (
        lambda r: rewrite(r, "labelsTr", same, affine=FLIPPED),
        f"label is oriented LAS, its image {FIRST} RAS",
    ),
    "fractional label": (
        lambda r: rewrite(r, "labelsTr", lambda d: d * 0.5),
        "label 0.5 is no whole number; labels number the classes, so save them as integers, resampled by "
        "nearest neighbour",
    ),
    "undeclared label": (
        lambda r: rewrite(r, "labelsTr", poke(9)),
        "undeclared label 9; dataset.json declares 0 background, 1 Front, 2 Back",
    ),
    "half a gzip": (lambda r: cut_short(r / "imagesTr" / FIRST), "can't be read to the end"),
    "a gzip of nothing": (lambda r: (r / "labelsTr" / FIRST).write_bytes(b""), "not a readable NIfTI file"),
    "no NIfTI": (lambda r: (r / "labelsTr" / FIRST).write_bytes(b"hello"), "not a readable NIfTI file"),
    "NaN": (lambda r: rewrite(r, "imagesTr", poke(np.nan)), "1 of 3360 voxels are NaN or infinite"),
    "infinite": (lambda r: rewrite(r, "imagesTr", poke(np.inf)), "1 of 3360 voxels are NaN or infinite"),
    "missing file": (
        lambda r: (r / "imagesTr" / FIRST).unlink(),
        f"{FIRST}: missing; dataset.json lists it",
    ),
    "no dataset.json": (lambda r: (r / "dataset.json").unlink(), "is unknown; known: phantom"),
    "dataset.json is no JSON": (lambda r: (r / "dataset.json").write_text("{"), "dataset.json: not JSON"),
    "no labels": (lambda r: change(r, labels={"0": "background"}), "and at least one class"),
    "regions": (
        lambda r: change(r, labels={"background": 0, "all": [1, 2]}),
        "labels make 'all' a region of the values [1, 2]; nnU-Net's regions are not supported, give every",
    ),
    "background is not 0": (
        lambda r: change(r, labels={"0": "Front", "1": "background", "2": "Back"}),
        "labels call 0 'Front'; 0 must be the background",
    ),
    "almost a whole number": (
        lambda r: rewrite(r, "labelsTr", lambda d: (d > 0) * 0.999),
        "label 0.999 is no whole number",
    ),
    "label elsewhere": (
        lambda r: rewrite(r, "labelsTr", same, affine=moved(0, 0.5, 0)),
        "label lies 0.5 voxels away from its image person00_a.nii.gz (first voxels at (0, 0.5, 0) and "
        "(0, 0, 0) mm); they must lie on one grid",
    ),
    "plain file named .gz": (
        lambda r: (r / "imagesTr" / FIRST).write_bytes(
            gzip.decompress((r / "imagesTr" / FIRST).read_bytes())
        ),
        "is not packed by gzip; rename it to person00_a.nii",
    ),
    "no foreground at all": (
        lambda r: [save(path, 0 * ball_volume(0)[1]) for path in (r / "labelsTr").iterdir()],
        "no mask of the training set has any foreground",
    ),
    "too few files": (lambda r: change(r, numTraining=7), "numTraining is 7, but 6 cases are there; add"),
    "a count that is none": (lambda r: change(r, numTraining="six"), "numTraining is 'six', but 6 cases"),
    "nnU-Net's list of files elsewhere": (
        lambda r: change(r, dataset={"a": {"images": ["/a"], "label": "/b"}}),
        "the key 'dataset' (nnU-Net's list of files elsewhere) is not supported",
    ),
    "an image not listed": (
        lambda r: save(r / "imagesTr" / "more.nii.gz", ball_volume(0)[0]),
        "imagesTr/more.nii.gz: dataset.json doesn't list it under training; list it or remove it",
    ),
    "a label not listed": (
        lambda r: save(r / "labelsTr" / "more.nii.gz", ball_volume(0)[1]),
        "labelsTr/more.nii.gz: dataset.json doesn't list it under training; list it or remove it",
    ),
    "two files of one case": (
        lambda r: save(r / "labelsTr" / "person00_a.nii", ball_volume(0)[1]),
        "labelsTr/person00_a.nii and labelsTr/person00_a.nii.gz are of one case; remove one",
    ),
    "no channels": (lambda r: change(r, modality={}), "must name the channels"),
    "listed twice": (
        lambda r: change(r, training=2 * json.loads((r / "dataset.json").read_text())["training"]),
        "case person00_a is listed more than once",
    ),
    "nothing listed": (lambda r: change(r, training=["a"]), "must list image and label of every case"),
}


def degenerate(path):
    """A third axis of no length, which nibabel itself writes."""
    image = nib.load(path)
    image.header["srow_z"] = 0
    image.header["qform_code"] = 0
    affine = image.header.get_sform()
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine, image.header), path)


def moved(*by):
    affine = np.eye(4)
    affine[:3, 3] = by
    return affine


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_one_clear_line_and_leaves_nothing(folder, tmp_path, refused, name):
    damage, message = BROKEN[name]
    damage(folder)
    results = tmp_path / "results"
    line = refused("--matrix", "unets", "--dataset", "balls", "--data", folder, "--results", results)
    assert message in line
    assert not results.exists(), "half-written files"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--image-size", "512"],
            "is larger than every volume of balls (at most 14x20x12 voxels); 32 holds",
        ),
        (["--image-size", "12"], "needs a multiple of 8, e.g. 8 or 16"),
        (["--patient-key", "("], "--patient-key '(': not a regular expression"),
        (["--patient-key", "left|right"], "finds no patient in the case 'person00_a'"),
        (["--dataset", "phantom-3d", "--patient-key", "x"], "dataset phantom-3d has its own"),
        (
            ["--dataset", "phantom-3d", "--affine", "qform"],
            "--affine 'qform': dataset phantom-3d has its own",
        ),
        (["--affine", "best"], "--affine must be one of sform, qform, not 'best'"),
    ],
)
def test_options_that_do_not_fit_the_volumes(folder, tmp_path, refused, arguments, message):
    given = ["--matrix", "unets", "--dataset", "balls", "--data", folder, "--results", tmp_path / "r"]
    assert message in refused(*given, *arguments)
    assert not (tmp_path / "r").exists()


@pytest.fixture
def no_forecast(monkeypatch):
    """A dry run lists its jobs without measuring how long they would take."""
    monkeypatch.setattr("bench.commands.forecast", lambda *_: SimpleNamespace(lines=list))


NEEDS_32 = "the network needs a multiple of 32"
THIN = "along z the training volumes are too thin, 16 voxels with their padding"


@pytest.mark.usefixtures("no_forecast")
@pytest.mark.parametrize(
    ("shape", "size", "message", "helps"),
    [
        ((33, 40, 10), 48, THIN, ["--image-size", 32, "--slices", "axial"]),
        ((14, 40, 10), 48, "along x and z the training volumes are too thin", []),
        ((64, 40, 40), 64, f"patch of 64x48x48: {NEEDS_32}, e.g. 32", ["--image-size", 32]),
        ((64, 64, 64), 48, f"--image-size 48: {NEEDS_32}, e.g. 32 or 64", []),
    ],
)
def test_advice_for_networks_of_large_stride_helps(tmp_path, refused, bench, shape, size, message, helps):
    folder = write_decathlon(tmp_path / "Balls", count=6, shape=shape)
    matrix = tmp_path / "m.yaml"
    network = "unet-4-4-4-4-4-4"
    matrix.write_text(json.dumps({"teacher": network, "students": ["unet-2-4"], "updates": 100}))
    given = ["--matrix", matrix, "--dataset", folder, "--results", tmp_path / "r", "--dry-run"]
    line = refused(*given, "--image-size", size).replace(network, "the network")
    assert line.endswith(message) if "e.g." in message else message in line
    assert ("--slices" in line) == ("--slices" in helps)
    if helps:
        result = bench(*given, *helps)
        assert result.code == 0, result.err
