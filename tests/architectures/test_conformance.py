"""What every registered network must keep, in 2-D and in 3-D."""

import pytest
import torch

import architectures

CELLS = [(name, dims) for name in architectures.names() for dims in (2, 3)]


@pytest.mark.parametrize(("name", "dims"), CELLS)
def test_shapes_taps_and_strides(name, dims):
    side = 2 * architectures.stride(name)
    with torch.device("meta"):
        model = architectures.build(name, dims, in_channels=2, out_channels=3)
        x = torch.zeros(2, 2, *[side] * dims)
        logits, taps = model.forward_intermediates(x)
    assert logits.shape == (2, 3, *[side] * dims)
    assert model(x).shape == logits.shape
    assert taps
    for (where, stride), feature in taps.items():
        assert where in ("encoder", "decoder")
        assert feature.shape[0] == 2
        assert feature.shape[2:] == tuple([side // stride] * dims)
    assert architectures.stride(name) >= max(stride for _, stride in taps)


@pytest.mark.parametrize("name", ["unet", "unet-", "unet-0", "unet-a", "vnet", "", "unet-8-", "../unet-8"])
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"known: .*unet-32-64"):
        architectures.build(name)


def test_only_two_and_three_dimensions():
    with pytest.raises(ValueError, match="2 or 3"):
        architectures.build("unet-4", spatial_dims=1)
