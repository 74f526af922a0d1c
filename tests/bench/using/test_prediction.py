"""An image as it comes gets the mask that it would have got when it was scored."""

import numpy as np
import pytest
import torch
from finished_study import SPLIT, dataset_of
from samples import blank_job

import architectures
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes
from bench.errors import UserError
from bench.scoring.evaluation import predict_masks
from bench.using.prediction import predict_array
from bench.using.preprocessing import Preprocessing
from methods.artefact import TorchArtefact


def made(prepared):
    """An untrained network for what is prepared, and what it was made for."""
    torch.manual_seed(0)
    dims, channels = prepared.spatial_dims, prepared.dataset.in_channels
    network = architectures.build("unet-4-8", dims, channels, 1)
    job = blank_job(spatial_dims=dims, in_channels=channels, image_size=prepared.image_size)
    return TorchArtefact(network).predict, Preprocessing.of(job, prepared.facts())


def same_as_scored(prepared):
    predict, made_for = made(prepared)
    [scored] = predict_masks(predict, prepared.val, "cpu")
    spacing = prepared.val.spacing[0] if prepared.val.spacing else None
    found = predict_array(predict, made_for, prepared.dataset.images[1], spacing)
    assert 0 < found.mean() < 1, "else this says nothing"
    return np.array_equal(found, scored)


@pytest.mark.parametrize("window", [None, (90.0, 130.0)])
def test_of_images(window):
    assert same_as_scored(PreparedImages(dataset_of((20, 28), window=window), SPLIT, 16))


def test_of_images_of_three_channels():
    assert same_as_scored(PreparedImages(dataset_of((20, 28), channels=3), SPLIT, 16))


@pytest.mark.parametrize("modality", ["MRI", "CT"])
@pytest.mark.parametrize("slices", ["", "axial"])
def test_of_volumes_of_another_spacing(modality, slices):
    spacing = ((1.0, 1.0, 2.0), (0.5, 1.0, 2.0), (1.0, 1.0, 2.0))
    dataset = dataset_of((24, 20, 18), modalities=(modality,), spacing=spacing)
    assert same_as_scored(PreparedVolumes(dataset, SPLIT, 16, slices))


def test_a_volume_without_a_spacing_has_that_of_the_training_volumes():
    dataset = dataset_of((18, 17, 16), modalities=("MRI",), spacing=((1.0, 1.0, 2.0),) * 3)
    predict, made_for = made(PreparedVolumes(dataset, SPLIT, 16))
    image = dataset.images[1]
    told = predict_array(predict, made_for, image, (1.0, 1.0, 2.0))
    assert np.array_equal(predict_array(predict, made_for, image), told)
    assert not np.array_equal(predict_array(predict, made_for, image, (2.0, 1.0, 2.0)), told)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, np.nan)])
def test_a_spacing_that_cannot_be_is_refused(spacing):
    dataset = dataset_of((18, 17, 16), modalities=("MRI",), spacing=((1.0, 1.0, 2.0),) * 3)
    own = made(PreparedVolumes(dataset, SPLIT, 16))
    with pytest.raises(UserError, match="must be 3 positive numbers"):
        predict_array(*own, dataset.images[1], spacing)


@pytest.mark.parametrize(
    "shape", [(16,), (2, 16, 16), (16, 16, 1), (1, 16, 16, 16), (1, 0, 16)], ids=lambda shape: f"{shape}"
)
def test_an_image_of_another_shape_is_refused(shape):
    own = made(PreparedImages(dataset_of((20, 28)), SPLIT, 16))
    with pytest.raises(UserError, match=r"the network needs \(1, height, width\)"):
        predict_array(*own, np.zeros(shape))


def test_a_flat_image_of_several_channels_is_refused():
    predict, made_for = made(PreparedImages(dataset_of((20, 28), channels=3), SPLIT, 16))
    with pytest.raises(UserError, match=r"shape \(16, 16\): the network needs \(3, height, width\)"):
        predict_array(predict, made_for, np.zeros((16, 16)))
    flat = np.zeros((16, 16))
    assert predict_array(predict, made_for, [flat] * 3).shape == (16, 16)


def test_values_must_be_finite():
    own = made(PreparedImages(dataset_of((20, 28)), SPLIT, 16))
    with pytest.raises(UserError, match="all must be finite"):
        predict_array(*own, np.full((16, 16), np.nan))
