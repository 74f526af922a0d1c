"""Ordinary files and folders that could be read wrongly without a word: refused, or said."""

import gzip
import json
import unicodedata

import nibabel as nib
import numpy as np
import pytest
import tifffile
from image_files import save, scene, write_folder, write_index
from PIL import Image
from volume_files import ball_volume, case, write_decathlon, write_nnunet
from volume_files import save as save_volume

from bench.data import nifti
from bench.data.class_labels import named_labels
from bench.data.datasets import load
from bench.data.odd_content import odd_content
from bench.data.patients import odd_patients
from bench.data.pictures import read_image, read_mask
from bench.data.splits import Split, untested
from bench.data.splits_file import read_splits
from bench.data.teacher_saw import patients_seen
from bench.errors import UserError


def polyps(tmp_path, change=lambda root: None, **more):
    root = write_folder(tmp_path / "polyps", colour=False)
    change(root)
    return load(str(root), None, None, **(more or {"patient_column": "person"}))


def rows(root, change, header=("file", "person")):
    lines = (root / "index.csv").read_text().splitlines()[1:]
    write_index(root, [change(*line.split(",")) for line in lines], header)


def twin(root, image):
    """One more image of another patient whose name differs in its case alone."""
    if image:
        save(root / "images" / "P00_0.png", scene(99)[0][..., 0])
    with (root / "index.csv").open("a") as file:
        file.write("P00_0.png,p99\n")


FOLDERS = {
    "one image under two patients": (
        lambda r: twin(r, image=False),
        "images/p00_0.png: 2 cases have this file",
    ),
    "two images of one mask": (lambda r: twin(r, image=True), "masks/p00_0.png: 2 cases have this file"),
    "another mask": (
        lambda r: rows(r, lambda f, p: (f, p, "p05_1.png"), ("file", "person", "mask")),
        "names the mask 'p05_1.png', but a mask has its image's name, here masks/p00_0.png",
    ),
    "spacing by another name": (
        lambda r: rows(r, lambda f, p: (f, p, 1, 2), ("file", "person", "Spacing_X", "Spacing_Y")),
        "column 'Spacing_X' would not be read; millimetres between rows and columns of pixels stand in "
        "spacing_y and spacing_x",
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_images(tmp_path, name):
    change, message = FOLDERS[name]
    with pytest.raises(UserError) as error:
        polyps(tmp_path, change)
    assert message in str(error.value)


def test_a_mask_may_be_named_as_it_is_and_slices_may_have_a_distance(tmp_path):
    columns = ("file", "person", "mask", "slice_spacing")
    dataset = polyps(tmp_path, lambda r: rows(r, lambda f, p: (f, p, f"masks/{f}", 5), columns))
    assert len(dataset.cases) == 12


def test_what_cases_hold_is_looked_at(tmp_path):
    def change(root):
        for kind in ("images", "masks"):
            (root / kind / "p05_1.png").write_bytes((root / kind / "p00_0.png").read_bytes())
        save(root / "images" / "p02_0.png", np.zeros((20, 20), np.uint8))
        save(root / "images" / "p03_0.png", np.full((20, 20), 7, np.uint8))

    assert odd_content(polyps(tmp_path, change)) == [
        "p02_0 and 1 more cases: the image holds one value only, so nothing can be seen in it",
        "cases p00_0 and p05_1 are the same image and mask, as those of patients 'p00' and 'p05'; in two "
        "parts of the split they make scores too good",
    ]


def test_one_voxel_size_that_is_far_from_all_others_is_said(tmp_path):
    root = write_decathlon(tmp_path / "Task01_Balls")
    assert odd_content(load(str(root), None, None, patient_key="person..")) == []
    for kind in ("imagesTr", "labelsTr"):
        path = root / kind / f"{case(3)}.nii.gz"
        save_volume(path, np.asanyarray(nib.load(path).dataobj), np.diag([800, 800, 800, 1]))
    dataset = load(str(root), None, None, patient_key="person..")
    assert odd_content(dataset) == ["person01_b: spacing of 800x800x800 mm, where 1x1x1 mm is usual here"]


def test_patients_that_are_nobody_or_nearly_all_alone_are_said(tmp_path):
    def change(root):
        rows(root, lambda f, p: (f, "NA" if p < "p02" else p))

    assert odd_patients(polyps(tmp_path / "a", change)) == ["patient 'NA' has 4 cases: is that one person?"]
    (line,) = odd_patients(polyps(tmp_path / "b", patient_key="p0[0-4]_.|p05"))
    assert line.startswith("nearly every one of the 12 images is of a patient of its own")


def test_names_in_two_of_unicodes_forms_are_one_in_files_of_splits_and_of_patients(tmp_path):
    def change(root):
        rows(root, lambda f, p: (f, p.replace("p00", "pé")))

    apart = unicodedata.normalize("NFD", "pé")
    (tmp_path / "seen.txt").write_text(apart + "\n")
    assert patients_seen(str(tmp_path / "seen.txt")) == {"pé"}
    dataset = polyps(tmp_path, change)
    path = tmp_path / "splits.json"
    named = {"train": dataset.cases[:4], "val": dataset.cases[4:6], "test": dataset.cases[6:8]}
    path.write_text(
        json.dumps([{k: [unicodedata.normalize("NFD", c) for c in v] for k, v in named.items()}])
    )
    (split,) = read_splits(path, dataset)
    assert split == Split(*named.values())
    assert untested(dataset, (split,)) == ["4 of 12 cases are in no part of the split"]


OBJECT = np.zeros((12, 12), np.uint8)
OBJECT[3:6, 4:8] = 1


RED_ON_WHITE = [255, 0, 0, 255, 255, 255]


def palette(path, clear):
    image = Image.fromarray(1 - OBJECT).convert("P")
    image.putdata((1 - OBJECT).ravel().tolist())
    image.putpalette(RED_ON_WHITE)
    image.save(path, transparency=clear)


MASKS = {
    "m.pbm": (lambda p: Image.fromarray(OBJECT.astype(bool)).save(p), "a PBM, in which 1 is black"),
    "index.png": (
        lambda p: palette(p, 1), "pixels of another value than 0 are transparent"
    ),
    "alphas.png": (
        lambda p: palette(p, bytes([255, 0])), "pixels of another value than 0"
    ),
    "rgb.png": (
        lambda p: Image.fromarray(np.repeat(1 - OBJECT[..., None], 3, 2)).save(p, transparency=(1, 1, 1)),
        "pixels of another value than 0 are transparent",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_masks_whose_background_can_not_be_known(tmp_path, name):
    write, message = MASKS[name]
    write(tmp_path / name)
    with pytest.raises(UserError) as error:
        read_mask(tmp_path / name)
    assert message in str(error.value)


def test_a_grey_gif_keeps_its_values(tmp_path):
    mask = 3 * OBJECT
    mask[8:10] = 1
    Image.fromarray(mask).save(tmp_path / "m.gif")
    assert np.array_equal(read_mask(tmp_path / "m.gif").values, mask)


VOLUMES = {
    "truncated": {"truncate": True},
    "volumetric": {"volumetric": True, "tile": (16, 16, 16)},
    "imagej": {"imagej": True},
}


@pytest.mark.parametrize("name", VOLUMES)
def test_a_stack_in_one_page_is_a_stack(tmp_path, name):
    planes = np.random.default_rng(0).integers(0, 255, (5, 16, 16)).astype(np.uint8)
    options = VOLUMES[name]
    tifffile.imwrite(
        tmp_path / "x.tif",
        planes,
        **options,
        **({} if "imagej" in options else {"photometric": "minisblack"}),
    )
    with pytest.raises(UserError, match="must hold one image"):
        read_image(tmp_path / "x.tif")
    tifffile.imwrite(tmp_path / "one.tif", planes[0], photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "one.tif").pixels, planes[0])


def opened(tmp_path, change=lambda image: None, data=None, kind=".nii"):
    image = nib.Nifti1Image(ball_volume(0)[0] if data is None else data, np.eye(4))
    change(image)
    path = tmp_path / f"x{kind}"
    nib.save(image, path)
    return path


def test_a_packed_file_is_read_to_its_checksum(tmp_path):
    path = opened(tmp_path, kind=".nii.gz")
    content = path.read_bytes()
    expected = nifti.canonical_array(nifti.open_image(path))
    rng, wrong = np.random.default_rng(0), 0
    for place in rng.integers(20, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found = nifti.canonical_array(nifti.open_image(path))
            assert np.array_equal(found, expected)
        except UserError:
            wrong += 1
    assert wrong == 60
    path.write_bytes(content[:-8])
    with pytest.raises(UserError, match="can't be read to the end"):
        nifti.canonical_array(nifti.open_image(path))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("field", "place", "value"), [("dim", 46, 6), ("datatype", 70, 2)])
def test_a_file_longer_than_its_header_says(tmp_path, packed, field, place, value):
    path = opened(tmp_path)
    content = bytearray(path.read_bytes())
    content[place : place + 2] = value.to_bytes(2, "little")
    if field == "datatype":
        content[72:74] = (8).to_bytes(2, "little")  # bits a voxel
    path.write_bytes(content)
    if packed:
        path = path.with_name("y.nii.gz")
        path.write_bytes(gzip.compress(content))
    with pytest.raises(UserError, match="correct dim or datatype in the header"):
        nifti.canonical_array(nifti.open_image(path))


def test_a_pairs_header_is_a_file_of_its_own(tmp_path):
    image = nib.Nifti1Pair(np.zeros((4, 5, 6), np.int16), np.diag([1.5, 2, 3, 1]))
    image.set_qform(np.diag([1.5, 2, 3, 1]), 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "x.img")
    assert nifti.canonical_spacing(nifti.open_image(tmp_path / "x.hdr")) == (1.5, 2, 3)


def test_axes_that_lean_are_said(tmp_path):
    affine = np.eye(4)
    affine[1:3, 2] = np.sin(np.deg2rad(20)), np.cos(np.deg2rad(20))  # still 1 mm long
    path = opened(tmp_path, lambda image: (image.set_sform(affine, 1), image.set_qform(None, 0)))
    assert any("70 degrees from one another, not 90" in text for text in nifti.open_image(path).odd)


def test_a_degenerate_sform_beside_a_good_qform_names_the_way_out(tmp_path):
    path = opened(tmp_path, lambda image: image.set_qform(np.eye(4), 1))
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    path.write_bytes(content)
    with pytest.raises(UserError, match="say --affine qform"):
        nifti.open_image(path)
    assert nifti.canonical_spacing(nifti.open_image(path, preferred="qform")) == (1, 1, 1)


def test_whole_numbers_that_float32_would_merge_are_refused(tmp_path):
    path = opened(tmp_path, data=np.arange(24, dtype=np.int32).reshape(2, 3, 4) + 2**30)
    with pytest.raises(UserError, match="of which float32 would make fewer"):
        nifti.intensities(nifti.canonical_array(nifti.open_image(path)), path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"polyp": 0, "Background": 1}, "0 must be the background"),
        ({"background": 0, "liver": 1, "Ignore": 2}, "an 'ignore' label is not supported"),
    ],
)
def test_names_of_classes_in_any_case(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        named_labels(labels, tmp_path / "dataset.json")


def listed(root, change):
    path = root / "dataset.json"
    content = json.loads(path.read_text())
    change(content["training"])
    path.write_text(json.dumps(content))


def second_label(training):
    training[1]["image"] = training[0]["image"]


def label_as_image(training):
    training[1]["label"] = training[1]["image"]


@pytest.mark.parametrize("change", [second_label, label_as_image])
def test_a_file_of_two_cases_in_a_list(tmp_path, change):
    root = write_decathlon(tmp_path / "Task01_Balls")
    listed(root, change)
    with pytest.raises(UserError, match="is used 2 times"):
        load(str(root), None, None, patient_key="person..")


def test_labels_of_other_names_and_channels_like_ct_are_said(tmp_path):
    root = write_decathlon(tmp_path / "Task01_Balls")

    def swap(training):
        training[0]["label"], training[1]["label"] = training[1]["label"], training[0]["label"]

    listed(root, swap)
    content = json.loads((root / "dataset.json").read_text()) | {"modality": {"0": "CTA"}}
    (root / "dataset.json").write_text(json.dumps(content))
    said = load(str(root), None, None, patient_key="person..").warnings
    assert any("its label is person00_a.nii.gz, of 2 cases the names differ" in line for line in said)
    assert any(line.startswith("channel 'CTA': normalised per volume") for line in said)


def test_an_image_of_two_labels_that_differ_in_case(tmp_path):
    root = write_nnunet(tmp_path / "Dataset001_Balls", count=3)
    save_volume(root / "labelsTr" / f"{case(0).upper()}.nii.gz", ball_volume(0)[1])
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"numTraining": 4}))
    with pytest.raises(UserError, match="is used 2 times"):
        load(str(root), None, None, patient_key="(?i)person..")
