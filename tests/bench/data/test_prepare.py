import csv
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from volume_files import write_decathlon

from bench.data import image_folder
from bench.data.prepare import LIVER_FOLDER


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
