"""A volume that is predicted block by block has the mask that it has when it is predicted at once."""

from dataclasses import replace

import finished_study
import nibabel as nib
import numpy as np
import pytest
import torch

from bench.using import blocks
from bench.using.prediction import predict_array
from bench.using.volumes import open_volume, unpacked

CPU = torch.device("cpu")


def volume_file(path, shape, spacing=(1, 1, 2), orientation="RAS", channels=1):
    """A random volume, its axes in some order."""
    rng = np.random.default_rng(7)
    size = shape if channels == 1 else (*shape, channels)
    image = nib.Nifti1Image(rng.normal(100, 30, size).astype(np.float32), np.diag([*spacing, 1.0]))
    turned = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(orientation)
    )
    nib.save(image.as_reoriented(turned), path)
    return path


@pytest.mark.parametrize(
    ("prepared", "shape", "spacing", "orientation"),
    [
        (finished_study.volumes(), (18, 16, 50), (1, 1, 2), "RAS"),
        (finished_study.volumes(modality="CT"), (16, 45, 16), (1, 1, 2), "SPL"),
        (finished_study.volumes(), (42, 20, 18), (0.5, 0.8, 2.3), "LIA"),
        (finished_study.volumes(slices="axial"), (20, 18, 30), (1, 1, 1.7), "RAS"),
        (finished_study.volumes(channels=2, classes=("one", "two")), (16, 16, 40), (1, 1, 2), "RPI"),
    ],
    ids=["MRI", "CT", "resampled", "slices", "channels"],
)
def test_blocks_give_the_mask_of_the_whole(tmp_path, prepared, shape, spacing, orientation):
    network = finished_study.network_of(tmp_path / "s", prepared)
    channels = prepared.dataset.in_channels
    path = volume_file(tmp_path / "v.nii.gz", shape, spacing, orientation, channels)
    volume = open_volume([path], channels)
    whole = predict_array(network.artefact.predict, network.made_for, volume.whole(), volume.spacing)
    assert whole.shape == shape
    assert np.bincount(whole.ravel()).max() < 0.99 * whole.size, "else this says nothing"
    cut = replace(blocks.plan(volume, network.made_for, budget=1), step=11)
    assert cut.axis == int(np.argmax(cut.grid))
    paged = unpacked(volume, tmp_path)
    found = blocks.predict_in_blocks(network.artefact.predict, network.made_for, paged, cut, tmp_path, CPU)
    if cut.grid == shape and prepared.ct[0] is not None:
        assert np.array_equal(found, whole)
    else:  # sums are rounded in another order
        assert (found != whole).mean() < 1e-4


def test_the_plan_keeps_to_its_budget(tmp_path):
    made_for = finished_study.network_of(tmp_path / "s", finished_study.volumes()).made_for
    volume = open_volume([volume_file(tmp_path / "v.nii", (20, 20, 200))], 1)
    all_of_it = blocks.bytes_whole(volume, made_for)
    steps = [blocks.plan(volume, made_for, all_of_it // part).step for part in (2, 3, 4)]
    assert 200 > steps[0] > steps[1] > steps[2] > 1
