"""The image folder, and everything that can be wrong with one."""

import csv

import numpy as np
import pytest
from PIL import Image

from bench.data import image_folder
from bench.data.decoded import keep_decoded


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "liver"
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    rows = []
    for volume in range(4):
        for z in range(2):
            name = f"vol{volume}_z{z}.png"
            Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(root / "images" / name)
            mask = np.zeros((32, 32), np.uint8)
            mask[8:20, 4:16] = 255
            Image.fromarray(mask).save(root / "masks" / name)
            rows.append((name, volume))
    write_index(root, rows)
    return root


def write_index(root, rows, header=("file", "volume")):
    with (root / "index.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


def rows_of(root):
    with (root / "index.csv").open(newline="") as handle:
        return [tuple(row) for row in csv.reader(handle)][1:]


def load(root, **more):
    return image_folder.load("liver-ct", root, "volume", "liver", **more)


def test_reads_images_masks_and_patients(folder):
    dataset = load(folder)
    assert len(dataset.cases) == 8
    assert dataset.patients[:3] == ("0", "0", "1")
    assert dataset.images[0].shape == (1, 32, 32)
    assert set(np.unique(dataset.masks[0])) == {0, 1}
    assert dataset.out_channels == dataset.in_channels == 1


def test_decodes_once(folder, tmp_path, monkeypatch):
    first = load(folder)
    keep_decoded(tmp_path / "cache", first)
    monkeypatch.setattr(image_folder, "_decode", lambda *_: pytest.fail("decoded again"))
    again = load(folder, cache=tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first.masks, again.masks, strict=True))


def test_the_fingerprint_follows_the_content(folder):
    before = load(folder).fingerprint
    mask = np.zeros((32, 32), np.uint8)
    Image.fromarray(mask).save(folder / "masks" / "vol0_z0.png")
    assert load(folder).fingerprint != before


def test_the_real_slices(liver_data):
    dataset = load(liver_data)
    assert len(dataset.cases) == 623
    assert len(set(dataset.patients)) == 122
    assert dataset.fingerprint == "e9778f5d196ce1f6", "studies depend on it"
    assert {image.shape for image in dataset.images} == {(1, 256, 256)}


def mask_of(value, size=(32, 32)):
    return Image.fromarray(np.full(size, value, np.uint8))


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 30])


def coloured(path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[4:9, 4:9] = 255, 0, 0
    Image.fromarray(pixels).save(path)


BROKEN = {
    "coloured mask": (lambda r: coloured(r / "masks/vol1_z0.png"), "masks/vol1_z0.png: a coloured mask"),
    "colour among grey": (
        lambda r: coloured(r / "images/vol1_z0.png"),
        "images/vol1_z0.png is in colour and ",
    ),
    "a folder among images": (
        lambda r: (r / "images/more").mkdir(),
        "images/more: a folder; files must lie",
    ),
    "two masks of a case": (
        lambda r: mask_of(0).save(r / "masks/vol1_z0.tif"),
        "masks/vol1_z0.png and masks/vol1_z0.tif are of one case; remove one",
    ),
    "a row too long": (
        lambda r: write_index(r, [*rows_of(r)[1:], ("vol0_z0.png", "Smith", "J")]),
        "line 9 has 3 fields, the header 2",
    ),
    "no folder": (lambda r: r.rename(r.with_name("gone")), "no such folder"),
    "no index": (lambda r: (r / "index.csv").unlink(), "index.csv is missing"),
    "image without mask": (lambda r: (r / "masks/vol1_z0.png").unlink(), "masks/vol1_z0.png: missing"),
    "mask without image": (lambda r: (r / "images/vol1_z0.png").unlink(), "images/vol1_z0.png: missing"),
    "mask of another size": (
        lambda r: mask_of(0, (16, 16)).save(r / "masks/vol0_z1.png"),
        "masks/vol0_z1.png: mask is 16x16, its image 32x32",
    ),
    "truncated image": (lambda r: truncate(r / "images/vol2_z0.png"), "images/vol2_z0.png: not a readable"),
    "truncated mask": (lambda r: truncate(r / "masks/vol2_z0.png"), "masks/vol2_z0.png: not a readable"),
    "not an image": (lambda r: (r / "images/vol2_z0.png").write_text("x"), "not a readable image"),
    "undeclared label": (
        lambda r: mask_of(7).save(r / "masks/vol3_z0.png"),
        "masks/vol3_z0.png: undeclared label 7",
    ),
    "missing row": (lambda r: write_index(r, rows_of(r)[1:]), "vol0_z0.png: no row in index.csv"),
    "duplicated row": (
        lambda r: write_index(r, [*rows_of(r), rows_of(r)[0]]),
        "vol0_z0.png is listed 2 times",
    ),
    "row without patient": (
        lambda r: write_index(r, [*rows_of(r)[1:], ("vol0_z0.png", "")]),
        "line 9 has no volume",
    ),
    "no patient column": (
        lambda r: write_index(r, rows_of(r), ("file", "person")),
        "column 'volume' is missing; found: file, person",
    ),
    "a path in the index": (
        lambda r: write_index(r, [("../images/vol0_z0.png", 1)]),
        "must be a plain file name",
    ),
    "empty folder": (
        lambda r: [
            [path.unlink() for kind in ("images", "masks") for path in (r / kind).iterdir()],
            write_index(r, []),
        ],
        "no images",
    ),
    "binary index": (lambda r: (r / "index.csv").write_bytes(b"\xff\xfe\x00\x01"), "not a CSV file"),
    "too few patients": (
        lambda r: write_index(r, [(name, 1) for name, _ in rows_of(r)]),
        r"1 patient(s), '1', can't be split; training",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_one_clear_line_and_leaves_nothing(folder, tmp_path, refused, name):
    damage, message = BROKEN[name]
    damage(folder)
    results = tmp_path / "results"
    line = refused(
        *("--matrix", "unets", "--dataset", "liver-ct", "--data", folder),
        *("--image-size", 32, "--results", results),
    )
    assert message in line
    assert not [path for path in results.rglob("*") if path.is_file()], "half-written files"
