import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.augmentation import CROP_RANGE, affine, augment
from bench.data.stream import SampleStream, epoch_order


def test_samples_are_a_pure_function_of_seed_epoch_and_batch(small_phantom):
    stream = SampleStream(small_phantom, seed=3, updates=80)
    first = stream.batch(2, 1)
    stream.batch(0, 0)
    torch.manual_seed(99)
    again = SampleStream(small_phantom, seed=3, updates=80).batch(2, 1)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for other in (
        stream.batch(2, 0),
        stream.batch(3, 1),
        SampleStream(small_phantom, 4, updates=80).batch(2, 1),
    ):
        assert not torch.equal(first[0], other[0])


def test_an_epoch_sees_every_case_once():
    assert sorted(epoch_order(0, 5, 17)) == list(range(17))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 19), st.sampled_from([2, 3]))
def test_maps_flip_and_crop_inside_the_image(seed, epoch, dims):
    theta = affine(seed, epoch, 0, 64, dims)
    scale = np.abs(np.stack([theta[:, k, k] for k in range(dims)], axis=1))
    assert (scale >= CROP_RANGE[0]).all() and (scale <= 1).all()
    assert np.allclose(scale, scale[:, :1]), "one scale for all sides"
    assert (np.abs(theta[:, :, -1]) + scale <= 1 + 1e-6).all(), "the crop leaves the image"


def test_half_are_flipped_and_half_are_cropped():
    theta = affine(0, 0, 0, 4000, 2)
    assert abs((theta[:, 0, 0] < 0).mean() - 0.5) < 0.04
    assert abs((np.abs(theta[:, 0, 0]) < 1).mean() - 0.5) < 0.04


def test_a_pure_flip_moves_pixels_exactly_and_labels_with_them():
    images = torch.rand(1, 1, 6, 6)
    labels = (images[:, 0] > 0.5).to(torch.uint8)
    theta = np.array([[[-1, 0, 0], [0, 1, 0]]], dtype=np.float32)
    moved, marked = augment(images, labels, theta)
    assert torch.allclose(moved, images.flip(3), atol=1e-6)
    assert torch.equal(marked, labels.flip(2))
