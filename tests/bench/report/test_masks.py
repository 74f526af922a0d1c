"""Predicted masks as files that other programs open."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.data import phantom
from bench.data.dataset import Dataset
from bench.files.atomic import write_file
from bench.report.masks import write_masks
from bench.study.predictions import pack_masks


def predicted(simulated, dataset, masks, jobs=1):
    """Masks of some cases, predicted by jobs."""
    ids = [simulated.job("unet-32-64", "baseline", seed).id for seed in range(jobs)]
    cases = dataset.cases[: len(masks)]
    for job_id in ids:
        arrays = pack_masks(masks, cases)
        path = simulated.study.path("predictions", job_id)
        write_file(path, lambda p, a=arrays: np.savez_compressed(p, **a))
    return ids


def test_images_are_png_beside_their_masks(simulated):
    data = phantom.generate(patients=3, slices=2, side=32)
    masks = [np.roll(mask, 2, axis=1) for mask in data.masks[:3]]
    ids = predicted(simulated, data, masks, jobs=2)
    folder = write_masks(simulated.study, data)
    index = pd.read_csv(folder / "index.csv", dtype=str)
    assert list(index.case) == sorted(data.cases[:3], key=data.cases.index)
    assert list(index.patient) == [data.patients[data.cases.index(case)] for case in index.case]
    for row, mask in zip(index.itertuples(), masks, strict=True):
        own = folder / row.folder
        assert sorted(path.stem for path in own.iterdir()) == sorted(["image", "truth", *ids])
        for name, wanted in (
            ("truth", data.masks[data.cases.index(row.case)]),
            *((job, mask) for job in ids),
        ):
            with Image.open(own / f"{name}.png") as picture:
                assert picture.mode == "P"
                assert np.array_equal(np.array(picture), wanted), "values are the classes"
        with Image.open(own / "image.png") as picture:
            assert picture.size == (32, 32)
    assert not (folder / ".gitignore").exists(), "synthetic"


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(channels, 5, 6, 7)).astype(np.float32) for channels in (1, 1)]
    masks = [rng.integers(0, 3, size=(5, 6, 7)).astype(np.uint8) for _ in images]
    return Dataset("d", ("../a/b", "c"), ("p", "q"), images, masks, ("left", "right"), "f",
                   spacing=((0.5, 1.0, 3.0), (1.0, 1.0, 1.0)))  # fmt: skip


def test_volumes_are_nifti_on_the_grid_of_their_image(simulated, volumes):
    masks = [2 - mask for mask in volumes.masks]
    [job] = predicted(simulated, volumes, masks)
    folder = write_masks(simulated.study, volumes)
    assert (folder / ".gitignore").read_text() == "*\n"
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "0000", "0001", "index.csv"]
    for k, wanted in ((0, masks[0]), (1, masks[1])):
        files = {name: nib.load(folder / f"{k:04}" / f"{name}.nii.gz") for name in ("image", "truth", job)}
        assert np.array_equal(np.asarray(files[job].dataobj), wanted)
        assert np.array_equal(np.asarray(files["truth"].dataobj), volumes.masks[k])
        assert np.array_equal(np.asarray(files["image"].dataobj), volumes.images[k][0])
        for file in files.values():
            assert file.header.get_zooms() == pytest.approx(volumes.spacing[k])
            assert file.header.get_xyzt_units()[0] == "mm"
            assert nib.aff2axcodes(file.affine) == ("R", "A", "S")


def test_a_case_that_the_data_lack_is_left_out(simulated, volumes):
    predicted(simulated, volumes, [2 - mask for mask in volumes.masks])
    fewer = Dataset(**{**vars(volumes), "cases": ("../a/b", "other")})
    assert len(pd.read_csv(write_masks(simulated.study, fewer) / "index.csv")) == 1


def test_masks_need_the_images(simulated, refused):
    simulated.study.create({"dataset": "liver-ct", "device": "cpu"}, synthetic=False)
    simulated.fill(seeds=1, students=0)
    assert "give --data FOLDER" in refused("report", simulated.study.root, "--masks")
