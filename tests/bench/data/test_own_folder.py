"""A user's own folder of 2-D images, which nobody has registered: from the path to a dataset."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import describe, save, scene, write_folder, write_index
from PIL import Image

from bench.data.datasets import load, locate
from bench.data.decoded import keep_decoded
from bench.data.patients import odd_patients
from bench.data.prepared_images import PreparedImages
from bench.data.splits import Split, split_by_patient
from bench.errors import UserError
from bench.scoring.evaluation import predict_masks, score_part


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "polyps")


def read(root, cache=None, **more):
    return load(str(root), None, cache, **(more or {"patient_column": "person"}))


def refusal(root, **more):
    with pytest.raises(UserError) as error:
        read(root, **more)
    return str(error.value)


def rewrite(root, change, header=("file", "person")):
    lines = (root / "index.csv").read_text().splitlines()[1:]
    write_index(root, [change(line.split(",")) for line in lines], header)


def test_colour_stays_colour_and_classes_come_from_the_masks(folder):
    dataset = read(folder)
    assert (dataset.name, dataset.in_channels, dataset.out_channels) == ("polyps", 3, 3)
    assert dataset.classes == ("class 1", "class 2")
    assert dataset.patients[:3] == ("p00", "p00", "p01")
    image, mask = scene(0)
    assert np.array_equal(dataset.images[0], image.transpose(2, 0, 1))
    assert np.array_equal(dataset.masks[0], mask)
    assert "column 'person' of index.csv" in dataset.note
    assert "distances are in pixels" in dataset.note
    assert dataset.warnings == (
        "masks hold 0 to 2, taken for class 1, class 2; dataset.json can name them",
    )


def test_dataset_json_names_the_classes_and_more(folder):
    describe(
        folder,
        labels={"background": 0, "polyp": 1, "tool": 2},
        pixel_spacing=[0.5, 0.25],
        licence="CC0",
        name="Mine",
    )
    dataset = read(folder)
    assert (dataset.classes, dataset.values) == (("polyp", "tool"), ()), "the usual values"
    assert dataset.licence == "CC0"
    assert dataset.note.startswith("Mine")
    assert set(dataset.spacing) == {(0.5, 0.25)}
    assert "pixels" not in dataset.note
    assert dataset.warnings == ()


def test_other_values_are_kept(folder):
    describe(folder, labels={"background": 0, "polyp": 1, "tool": 2, "hand": 255})
    assert read(folder).values == (1, 2, 255)


def test_one_class_as_255_is_the_same_data_as_1(folder, tmp_path):
    one = write_folder(tmp_path / "one", classes=1)
    before = read(one)
    for path in (one / "masks").iterdir():
        save(path, np.asarray(Image.open(path)) * 255)
    after = read(one)
    assert before.classes == after.classes == ("foreground",)
    assert before.fingerprint == after.fingerprint


def test_the_patient_key_needs_no_index(folder):
    with_index = read(folder)
    (folder / "index.csv").unlink()
    dataset = read(folder, patient_key=r"(p\d+)_")
    assert dataset.patients == with_index.patients
    assert dataset.fingerprint == with_index.fingerprint, "the same data"
    assert "key" in dataset.note


def test_the_patient_key_serves_an_index_without_patients(folder):
    rewrite(folder, lambda row: [row[0], 0.5, 0.25], ("file", "spacing_x", "spacing_y"))
    dataset = read(folder, patient_key="p..")
    assert set(dataset.patients) == {f"p{k:02}" for k in range(6)}
    assert set(dataset.spacing) == {(0.25, 0.5)}, "rows first"


def test_what_was_decoded_is_read_again_alike(folder, tmp_path):
    first = read(folder)
    keep_decoded(tmp_path / "cache", first)
    again = read(folder, tmp_path / "cache")
    assert (again.classes, again.fingerprint, again.note) == (first.classes, first.fingerprint, first.note)
    assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))


def test_another_meaning_of_the_masks_is_decoded_anew(folder, tmp_path):
    describe(folder, labels={"background": 0, "a": 1, "b": 2})
    keep_decoded(tmp_path / "cache", read(folder))
    describe(folder, labels={"background": 0, "b": 2, "a": 1, "c": 3})
    dataset = read(folder, tmp_path / "cache")
    assert dataset.classes == ("a", "b", "c")


def test_grey_stored_as_colour_is_grey_only_where_all_are(tmp_path):
    root = write_folder(tmp_path / "scans", colour=False, classes=1)
    plain = read(root)
    paths = sorted((root / "images").iterdir())
    for path in paths:
        save(path, np.repeat(np.asarray(Image.open(path))[..., None], 3, 2))
    dataset = read(root)
    assert dataset.in_channels == 1
    assert dataset.fingerprint == plain.fingerprint
    assert len(dataset.warnings) == 1
    assert "12 of 12 images are stored as RGB with three equal" in dataset.warnings[0]
    save(paths[3], scene(3)[0])
    dataset = read(root)
    assert dataset.in_channels == 3
    assert dataset.warnings == (), "nothing is odd about a grey image among colour ones"
    save(paths[5], scene(5)[0][..., 0])
    line = refusal(root)
    assert f"{paths[3]} is in colour and {paths[5]} is grey" in line


def test_sixteen_bits_are_kept(tmp_path):
    root = write_folder(tmp_path / "deep", colour=False, classes=1)
    values = np.random.default_rng(0).integers(0, 65536, (20, 20), dtype=np.uint16)
    for path in (root / "images").iterdir():
        save(path, values)
    dataset = read(root)
    assert dataset.images[0].dtype == np.float32
    assert np.array_equal(dataset.images[0][0], values)
    assert dataset.warnings == ()
    save(root / "images" / "p00_0.png", scene(0)[0][..., 0])
    (line,) = read(root).warnings
    assert line == "images/p00_1.png has more than 8 bits, p00_0.png has 8: are their values on one scale?"


def test_image_and_mask_may_have_other_endings_in_any_case(folder):
    before = read(folder)
    for path in sorted((folder / "images").iterdir()):
        Image.open(path).save(path.with_suffix(".TIF"))
        path.unlink()
    for path in sorted((folder / "masks").iterdir()):
        path.rename(path.with_suffix(".PNG"))
    rewrite(folder, lambda row: [row[0].replace(".png", ".TIF"), row[1]])
    after = read(folder)
    assert after.fingerprint == before.fingerprint
    save(folder / "images" / "p00_0.jpg", scene(0)[0])
    rows = [line.split(",") for line in (folder / "index.csv").read_text().splitlines()[1:]]
    write_index(folder, [*rows, ["p00_0.jpg", "p00"]])
    assert "p00_0 is listed 2 times; one row a case, one file a case" in refusal(folder)


def test_an_image_turned_by_exif_with_its_mask(folder):
    before = read(folder)
    pixels, mask = scene(0)
    save(folder / "images" / "p00_0.png", np.rot90(pixels), 6)
    save(folder / "masks" / "p00_0.png", np.rot90(mask), 6)
    after = read(folder)
    assert (after.fingerprint, after.warnings) == (before.fingerprint, before.warnings)
    save(folder / "masks" / "p00_0.png", mask)
    after = read(folder)
    assert after.fingerprint == before.fingerprint
    assert "only the image or only the mask has an EXIF orientation" in after.warnings[0]


@pytest.mark.parametrize("text", ["file;person", "file\tperson", " file , person ", "\ufefffile,person"])
def test_an_index_as_spreadsheets_write_it(folder, text):
    before = read(folder)
    between = next(mark for mark in ";\t," if mark in text)
    lines = (folder / "index.csv").read_text().splitlines()[1:]
    (folder / "index.csv").write_text(
        "\n".join([text, *(line.replace(",", between + " ") for line in lines), "", " "])
    )
    assert read(folder).fingerprint == before.fingerprint


def test_names_that_unicode_writes_in_two_ways_are_one(tmp_path):
    root = write_folder(tmp_path / "names", people=3, each=2)
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for kind in ("images", "masks"):
        for path in list((root / kind).iterdir()):
            path.rename(path.with_name(path.name.replace("p00", apart)))
    rows = [(f"{composed}_0.png", composed), (f"{apart}_1.png", apart)]
    rewrite(root, lambda row: rows.pop(0) if "p00" in row[0] else row)
    dataset = read(root)
    assert set(dataset.patients) == {composed, "p01", "p02"}
    assert {case for case in dataset.cases if case[0] != "p"} == {f"{composed}_0", f"{composed}_1"}


def test_upper_and_lower_case_of_a_file_may_differ_but_not_silently_of_a_patient(folder):
    rewrite(folder, lambda row: [row[0].upper(), row[1].replace("p00", "P01")])
    dataset = read(folder)
    assert len(dataset.cases) == 12
    (line,) = odd_patients(dataset)
    assert "patients 'P01' and 'p01' differ in upper and lower case alone" in line


def test_patients_that_are_hardly_meant_are_said(folder):
    assert odd_patients(read(folder)) == []
    (line,) = odd_patients(read(folder, patient_key=".+"))
    assert "every one of the 12 images is of a patient of its own" in line
    rewrite(folder, lambda row: [row[0], "a" if row[1] < "p04" else row[1]])
    assert odd_patients(read(folder)) == ["patient 'a' has 8 of the 12 cases"]


def test_a_splits_file_beside_the_data_is_not_used(folder):
    before = split_by_patient(read(folder))
    cases = read(folder).cases
    for name in ("splits.json", "splits_final.json"):
        (folder / name).write_text(json.dumps([{"train": cases[:6], "val": cases[6:8], "test": cases[8:]}]))
    assert split_by_patient(read(folder)) == before


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.booleans())
def test_order_and_further_columns_say_nothing(folder, random, more):
    write_folder(folder)
    before = read(folder).fingerprint
    names = sorted(path.name for path in (folder / "images").iterdir())
    rows = [(line, line[:3], random.random()) for line in names]
    random.shuffle(rows)
    write_index(folder, rows if more else [row[:2] for row in rows], ("file", "person", "dose")[: 2 + more])
    assert read(folder).fingerprint == before


BROKEN = {
    "no column named": (
        lambda r: None,
        {"patient_key": ""},
        "--patient-column must be one of file, person; or",
    ),
    "another column": (
        lambda r: None,
        {"patient_column": "volume"},
        "column 'volume' is missing; found: file, person",
    ),
    "both": (lambda r: None, {"patient_column": "person", "patient_key": "p"}, "give one of them"),
    "a key that finds nothing": (
        lambda r: None,
        {"patient_key": "q"},
        "finds no patient in the case 'p00_0'",
    ),
    "no expression": (lambda r: None, {"patient_key": "("}, "not a regular expression"),
    "column without index": (lambda r: (r / "index.csv").unlink(), {}, "index.csv is missing"),
    "no mask": (
        lambda r: [(r / "masks/p01_0.png").unlink(), (r / "index.csv").unlink()],
        {"patient_key": "p.."},
        "masks/p01_0.png: missing; it has no mask; remove the image or add one",
    ),
    "no image": (
        lambda r: [(r / "images/p01_0.png").unlink(), (r / "index.csv").unlink()],
        {"patient_key": "p.."},
        "masks/p01_0.png: has no image; add it or remove the mask",
    ),
    "no masks at all": (lambda r: (r / "masks").rename(r / "labels"), {}, "masks: no such folder"),
    "unknown key": (
        lambda r: describe(r, spacing=[1, 1]),
        {},
        "dataset.json: unknown key 'spacing'; known: labels",
    ),
    "no JSON": (lambda r: (r / "dataset.json").write_text("{"), {}, "dataset.json: not JSON"),
    "inverted": (
        lambda r: describe(r, labels={"a": 0, "background": 1}),
        {},
        "labels call 0 'a'; 0 must be the back",
    ),
    "no background": (
        lambda r: describe(r, labels={"a": 1, "b": 2}),
        {},
        "labels must name 0, the background",
    ),
    "regions": (
        lambda r: describe(r, labels={"background": 0, "a": [1, 2]}),
        {},
        "dataset.json: labels make 'a' a region of the values [1, 2]; nnU-Net's regions are not supported",
    ),
    "undeclared": (lambda r: describe(r, labels={"background": 0, "a": 1}), {}, "undeclared label 2"),
    "negative spacing": (
        lambda r: describe(r, pixel_spacing=[0, 1]),
        {},
        "pixel_spacing.0: input should be greater",
    ),
    "one spacing": (lambda r: describe(r, pixel_spacing=[1]), {}, "the key 'pixel_spacing.1' is missing"),
    "half a spacing": (
        lambda r: rewrite(r, lambda row: [*row, 1], ("file", "person", "spacing_x")),
        {},
        "column 'spacing_x' needs 'spacing_y' beside it",
    ),
    "a comma for a point": (
        lambda r: rewrite(
            r, lambda row: [*row, "0,7", "0,7"], ("file", "person", "spacing_x", "spacing_y")
        ),
        {},
        "line 2: spacing_y '0,7' must be millimetres, e.g. 0.7",
    ),
    "a spacing left out": (
        lambda r: rewrite(r, lambda row: [*row, 1, ""], ("file", "person", "spacing_x", "spacing_y")),
        {},
        "line 2 has no spacing_y",
    ),
    "two spacings": (
        lambda r: [
            describe(r, pixel_spacing=[1, 2]),
            rewrite(r, lambda row: [*row, 1, 2], ("file", "person", "spacing_x", "spacing_y")),
        ],
        {},
        "has spacing_y 2 and spacing_x 1, dataset.json pixel_spacing 1, 2 (rows first)",
    ),
    "turned to another size": (
        lambda r: [
            save(r / f"{kind}/p00_0.png", scene(0)[k][:12], 6 - 5 * k)
            for k, kind in enumerate(("images", "masks"))
        ],
        {},
        "mask is 12x20, its image 20x12 once turned as its EXIF orientation says",
    ),
    "two datasets": (
        lambda r: (r / "imagesTr").mkdir(),
        {},
        "holds images/ and imagesTr/; must hold one dataset",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_contradicts_itself_is_one_line(folder, name):
    damage, more, message = BROKEN[name]
    damage(folder)
    line = refusal(folder, **more)
    assert message in line
    assert "\n" not in line


def test_a_path_without_a_dataset_says_what_a_folder_holds(tmp_path):
    layouts = (
        "images/, masks/ and index.csv (2-D images) or dataset.json, imagesTr/ and labelsTr/ (volumes)"
    )
    assert f"{layouts}; {tmp_path} holds neither" in refusal(tmp_path)
    assert f"{layouts}; {tmp_path / 'gone'} is no folder" in refusal(tmp_path / "gone")
    with pytest.raises(UserError) as error:  # what a job in mid-run says
        load("polyps", tmp_path / "gone")
    assert str(error.value) == f"{tmp_path / 'gone'}: no such folder; --data must name the dataset's folder"
    write_folder(tmp_path / "phantom")
    assert "phantom is a registered dataset; must be --dataset phantom" in refusal(tmp_path / "phantom")


def test_patient_column_is_for_folders_of_images_only(tmp_path, liver_data):
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "training": []}))
    (tmp_path / "images").mkdir()
    assert "holds volumes, which have no index.csv; --patient-key" in refusal(
        tmp_path, patient_column="person"
    )
    with pytest.raises(
        UserError, match="--patient-column 'volume': dataset liver-ct has its own; leave it out"
    ):
        load("liver-ct", liver_data, patient_column="volume")
    assert locate("mine", liver_data) == ("mine", liver_data)


def test_a_registered_folder_may_have_several_classes(folder):
    from bench.data import image_folder

    describe(folder, labels={"background": 0, "polyp": 1, "tool": 2})
    dataset = image_folder.load("polyps", folder, patient_column="person")
    assert dataset.classes == ("polyp", "tool")


def test_a_registered_folder_with_a_class_of_its_own_keeps_its_millimetres(folder):
    from bench.data import image_folder

    for path in (folder / "masks").iterdir():
        save(path, np.eye(20, dtype=np.uint8))
    described = {"pixel_spacing": [0.5, 0.25], "licence": "CC0", "name": "Polyps of 2020"}
    describe(folder, labels={"background": 0, "polyp": 1}, **described)
    dataset = image_folder.load("polyps", folder, patient_column="person", class_name="spleen")
    assert dataset.classes == ("spleen",)
    assert set(dataset.spacing) == {(0.5, 0.25)}
    assert (dataset.licence, dataset.note) == ("CC0", "Polyps of 2020")


def test_distances_are_in_millimetres(folder):
    """Two squares moved by three rows or by four columns, in an image of 0.5 x 0.25 mm."""
    square = np.zeros((20, 20), np.uint8)
    square[5:10, 5:10] = 1
    for path in (folder / "masks").iterdir():
        save(path, square)
    describe(folder, pixel_spacing=[0.5, 0.25])
    dataset = read(folder)
    part = PreparedImages(dataset, Split(dataset.cases[:4], dataset.cases[4:8], dataset.cases[8:]), 16)
    assert part.facts()["spacing_mm"] == [0.5, 0.25]
    for scored in (part.val, part.test):
        assert scored.spacing == ((0.5, 0.25),) * 4
        for moved, axis, nsd in ((3, 0, False), (4, 1, True)):
            row = score_part([np.roll(square, moved, axis)] * 4, scored, dataset.classes)[0]
            assert row["hd95"] == pytest.approx(moved * (0.5, 0.25)[axis])
            assert (row["nsd"] == 1) == nsd, "1 mm is within the tolerance of 1 mm, 1.5 mm is not"
        empty = score_part([0 * square] * 4, scored, dataset.classes)[0]
        assert empty["hd95"] == pytest.approx(np.hypot(20 * 0.5, 20 * 0.25)), "the image's diagonal"
    assert predict_masks(lambda x: x[:, :1], part.val, "cpu")[0].shape == (20, 20)


def test_without_spacing_distances_are_in_pixels(folder):
    part = PreparedImages(read(folder), split_by_patient(read(folder)), 16)
    assert part.val.spacing == ()
    assert "spacing_mm" not in part.facts()


def test_spacing_is_part_of_the_data(folder):
    before = read(folder).fingerprint
    describe(folder, pixel_spacing=[1, 1])
    one = read(folder).fingerprint
    describe(folder, pixel_spacing=[1, 2])
    assert len({before, one, read(folder).fingerprint}) == 3


def test_the_documented_description_is_read(folder):
    page = Path(__file__).resolve().parents[3] / "docs" / "adding-a-dataset.md"
    text = page.read_text().split("```json\n")[1].split("```")[0]
    (folder / "dataset.json").write_text(text)
    for path in (folder / "masks").iterdir():
        save(path, np.array([0, 128, 255], np.uint8)[np.asarray(Image.open(path))])
    dataset = read(folder)
    assert dataset.classes == ("polyp", "tool")
    assert np.array_equal(dataset.masks[0], scene(0)[1])
    assert dataset.spacing[0] == (0.5, 0.25)
    assert dataset.licence == "CC BY 4.0"
