import csv
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from commands import missing
from PIL import Image
from volume_files import write_decathlon

from bench.data import datasets, image_folder
from bench.data.prepare import LIVER_FOLDER

SUNNYBROOK_DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "sunnybrook_lv"


@pytest.fixture
def clone(tmp_path):
    """A small tree of the upstream repository's shape; returns it and the upright images."""
    folder = tmp_path / "clone" / LIVER_FOLDER
    rng = np.random.default_rng(1)
    upright = {}
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for volume in range(1, 5):
        for z in (7, 80):
            image = np.kron(rng.integers(0, 255, (4, 4)), np.ones((8, 8))).astype(np.uint8)
            mask = np.zeros((32, 32), np.uint8)
            mask[4:12, 2:20] = 255
            upright[volume, z] = image, mask
            for variant, turns in (("flipped", -1), ("mirrored", -3)):
                if variant == "mirrored" and volume == 1:
                    continue
                name = f"{variant}_{10000 + volume}_{z}.jpg"
                for kind, array in (("images", image), ("masks", mask)):
                    picture = Image.fromarray(np.ascontiguousarray(np.rot90(array, turns)))
                    picture.convert("RGB").save(folder / kind / name, quality=95)
    (folder / "images" / "desktop.ini").write_text("not an image")
    return tmp_path / "clone", upright


def test_prepare_makes_a_folder_that_the_harness_reads(clone, tmp_path, bench):
    root, upright = clone
    target = tmp_path / "data" / "liver"
    result = bench("prepare", "liver-ct", "--source", root, "--data", target)
    assert result.code == 0
    assert "8 slices of 4 volumes" in result.out
    dataset = image_folder.load("liver-ct", target, "volume", "liver")
    assert len(dataset.cases) == len(upright)
    for case, patient, image, mask in zip(
        dataset.cases, dataset.patients, dataset.images, dataset.masks, strict=True
    ):
        expected_image, expected_mask = upright[int(patient), int(case[-3:])]
        assert np.abs(image[0].astype(int) - expected_image).mean() < 4
        assert ((mask > 0) == (expected_mask > 0)).mean() > 0.97
    with (target / "index.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["file"] for row in rows[:3]] == ["vol001_z007.png", "vol001_z080.png", "vol002_z007.png"]
    assert {row["source_variant"] for row in rows} == {"flipped"}
    assert all(int(row["fg_pixels"]) > 100 for row in rows)


def test_what_is_no_clone_is_refused(tmp_path, refused, clone):
    target = tmp_path / "t"
    line = refused("prepare", "liver-ct", "--source", tmp_path / "nothing", "--data", target)
    assert "--source must be a clone of" in line
    assert "--source must name" in refused("prepare", "liver-ct")
    assert "known: liver-ct" in refused("prepare", "spleen")
    masks = clone[0] / LIVER_FOLDER / "masks"
    next(masks.iterdir()).unlink()
    assert "has no mask" in refused("prepare", "liver-ct", "--source", clone[0], "--data", target)
    assert not target.exists()
    assert not list(tmp_path.glob("t*"))
    target.mkdir()
    assert "is there already" in refused("prepare", "liver-ct", "--source", clone[0], "--data", target)


HEARTS = {
    "Test/Sunnybrook_Part3/SC-N-09-IM-0001-0020": "N-09-0001-0020",
    "Test/Sunnybrook_Part3/SC-HF-NI-12-IM-0001-0009": "HF-NI-12-0001-0009",
    "Train/Sunnybrook_Part2/SC-HF-I-05-IM-0001-0027": "HF-I-05-0001-0027",
    "Train/Sunnybrook_Part1/SC-HYP-40-IM-0001-0105": "HYP-40-0001-0105",
    "Train/Sunnybrook_Part1/SC-HYP-40-IM-0001-0045": "HYP-40-0001-0045",
}
"""Upstream paths without their endings, and the cases they become."""


def write_heart(clone, path, image, mask):
    """One slice where the upstream repository has it: three equal channels."""
    part, _, name = path.partition("/")
    for kind, pixels in (("Images", image), ("Labels", mask)):
        file = clone / "Data" / part / kind / f"{name}.dcm.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert("RGB").save(file, compress_level=1)


@pytest.fixture
def hearts(tmp_path):
    """A small tree of the upstream repository's shape; returns it and images and masks by case."""
    rng = np.random.default_rng(2)
    upright = {}
    for k, (path, case) in enumerate(HEARTS.items()):
        mask = np.zeros((32, 32), np.uint8)
        mask[4 : 9 + k, 2:20] = 255
        upright[case] = rng.integers(0, 256, (32, 32)).astype(np.uint8), mask
        write_heart(tmp_path / "clone", path, *upright[case])
    (tmp_path / "clone/Data/Test/Images/.DS_Store").write_text("not an image")
    return tmp_path / "clone", upright


def test_prepare_makes_the_hearts_folder(hearts, tmp_path, bench):
    clone, upright = hearts
    target = tmp_path / "data" / "hearts"
    result = bench("prepare", "sunnybrook-lv", "--source", clone, "--data", target)
    assert result.code == 0, result.err
    assert "5 slices of 4 patients" in result.out
    assert [path.name for path in target.parent.iterdir()] == ["hearts"]
    assert (target / "index.csv").read_text().split() == [
        "file,patient,upstream_part,foreground",
        "HF-NI-12-0001-0009.png,HF-NI-12,test,108",
        "N-09-0001-0020.png,N-09,test,90",
        "HYP-40-0001-0045.png,HYP-40,train,162",
        "HYP-40-0001-0105.png,HYP-40,train,144",
        "HF-I-05-0001-0027.png,HF-I-05,train,126",
    ]
    for case, (image, mask) in upright.items():
        for kind, expected in (("images", image), ("masks", mask)):
            with Image.open(target / kind / f"{case}.png") as picture:
                assert picture.mode == "L"
                assert np.array_equal(np.asarray(picture), expected)
    dataset = datasets.load("sunnybrook-lv", target)
    assert dict(zip(dataset.cases, dataset.patients, strict=True)) == {case: case[:-10] for case in upright}
    assert dataset.classes == ("left ventricle",)


def blank(side):
    return np.zeros((side, side), np.uint8)


def unlink(clone, kind, name):
    next(clone.rglob(f"{kind}/*/{name}")).unlink()


def again(clone):
    """A slice of the test part in the training part too."""
    for kind in ("Images", "Labels"):
        old = clone / "Data/Test" / kind / "Sunnybrook_Part3/SC-N-09-IM-0001-0020.dcm.png"
        new = clone / "Data/Train" / kind / "Sunnybrook_Part1" / old.name
        new.write_bytes(old.read_bytes())


NO_HEARTS = {
    "no labels": (
        lambda clone: (clone / "Data/Train/Labels").rename(clone / "gone"),
        "has no Data/Train/Images and Labels; --source must be a clone of mshunshin/SegNetCMR",
    ),
    "other files": (
        lambda clone: [path.rename(path.with_suffix(".jpg")) for path in clone.rglob("*.png")],
        "Data: no files named like SC-N-09-IM-0001-0020.dcm.png",
    ),
    "image without mask": (
        lambda clone: unlink(clone, "Labels", "SC-N-09*"),
        "Labels/Sunnybrook_Part3/SC-N-09-IM-0001-0020.dcm.png: missing; the image of that name has no mask",
    ),
    "mask without image": (
        lambda clone: unlink(clone, "Images", "SC-N-09*"),
        "Images/Sunnybrook_Part3/SC-N-09-IM-0001-0020.dcm.png: missing; the mask of that name has no image",
    ),
    "not an image": (
        lambda clone: next(clone.rglob("Images/*/SC-HYP*45.dcm.png")).write_text("x"),
        "SC-HYP-40-IM-0001-0045.dcm.png: not a readable image",
    ),
    "mask of another size": (
        lambda clone: write_heart(clone, next(iter(HEARTS)), *map(blank, (32, 16))),
        "SC-N-09-IM-0001-0020.dcm.png: mask (16, 16), its image (32, 32)",
    ),
    "slice in both parts": (again, "there is another N-09-0001-0020.png; a slice must be there once"),
}


@pytest.mark.parametrize("name", NO_HEARTS)
def test_a_clone_that_is_not_whole_is_one_line_and_leaves_nothing(hearts, tmp_path, refused, name):
    damage, message = NO_HEARTS[name]
    damage(hearts[0])
    target = tmp_path / "data" / "hearts"
    assert message in refused("prepare", "sunnybrook-lv", "--source", hearts[0], "--data", target)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_a_folder_of_hearts_that_is_there_stays(hearts, tmp_path, refused):
    assert "--source must name a clone of mshunshin/SegNetCMR" in refused("prepare", "sunnybrook-lv")
    target = tmp_path / "hearts"
    target.mkdir()
    line = refused("prepare", "sunnybrook-lv", "--source", hearts[0], "--data", target)
    assert "is there already" in line
    assert not list(target.iterdir())


@pytest.fixture
def real_hearts():
    """The real slices, where they lie beside the checkout."""
    if not SUNNYBROOK_DATA.is_dir():
        missing("the heart slices are not beside the checkout (../shared/data/sunnybrook_lv)")
    return SUNNYBROOK_DATA


def test_the_real_hearts(real_hearts):
    dataset = datasets.load("sunnybrook-lv", real_hearts)
    assert len(dataset.cases) == 805
    assert len(set(dataset.patients)) == 45
    assert dataset.warnings == ("the 13 masks of patient N-06 lie beside the ventricle",)
    assert {image.shape for image in dataset.images} == {(1, 256, 256)}
    sizes = [int(mask.sum()) for mask in dataset.masks]
    assert (min(sizes), max(sizes)) == (10, 3555)


def test_the_real_hearts_come_out_of_a_clone_as_they_are(real_hearts, tmp_path, bench):
    with (real_hearts / "index.csv").open(newline="") as handle:
        header, *rows = csv.reader(handle)
    kept = rows[::20]  # in the order of the upstream paths
    folder, before = 1, ""
    for file, patient, part, _ in kept:
        folder += part == "train" and file < before  # a new folder begins
        before = file if part == "train" else ""
        name = f"SC-{patient}-IM-{file[len(patient) + 1 : -4]}"
        pixels = (np.asarray(Image.open(real_hearts / kind / file)) for kind in ("images", "masks"))
        path = f"{part.title()}/Sunnybrook_Part{folder if part == 'train' else 3}/{name}"
        write_heart(tmp_path / "clone", path, *pixels)
    target = tmp_path / "hearts"
    assert bench("prepare", "sunnybrook-lv", "--source", tmp_path / "clone", "--data", target).code == 0
    with (target / "index.csv").open(newline="") as handle:
        assert list(csv.reader(handle)) == [header, *kept]
    for kind in ("images", "masks"):
        for file, *_ in kept:
            made, real = (np.asarray(Image.open(root / kind / file)) for root in (target, real_hearts))
            assert np.array_equal(made, real)


def test_volumes_come_by_monais_downloader(tmp_path, bench, monkeypatch):
    asked = []

    def download(url, filepath, output_dir, hash_val, hash_type, progress):
        asked.append((url.rsplit("/", 1)[-1], hash_type, hash_val))
        write_decathlon(output_dir / "Task04_Hippocampus", count=4)

    monkeypatch.setattr("monai.apps.utils.download_and_extract", download)
    target = tmp_path / "data" / "hippocampus"
    result = bench("prepare", "hippocampus", "--data", target)
    assert result.code == 0, result.err
    assert "4 volumes" in result.out
    assert asked == [("Task04_Hippocampus.tar", "md5", "9d24dba78a72977dbd1d2e110310f31b")]
    assert (target / "dataset.json").is_file()
    assert [path.name for path in target.parent.iterdir()] == ["hippocampus"]


def test_a_download_that_fails_is_one_line_and_leaves_nothing(tmp_path, refused, monkeypatch):
    def download(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("monai.apps.utils.download_and_extract", download)
    target = tmp_path / "data" / "liver"
    line = refused("prepare", "liver", "--data", target)
    assert "Task03_Liver.tar could not be downloaded and unpacked" in line
    assert "no route to host" in line
    assert not list(target.parent.iterdir())
    target.mkdir()
    assert "is there already" in refused("prepare", "liver", "--data", target)
    assert "takes no --source" in refused("prepare", "liver", "--source", tmp_path)
