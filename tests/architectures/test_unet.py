import pytest
import torch

import architectures
from architectures.unet import widths

REPORT = {
    "unet-64-128-256-512": 7_696_193,
    "unet-32-64-128-256": 1_925_025,
    "unet-32-64-128": 465_953,
    "unet-32-64": 100_961,
}


@pytest.mark.parametrize(("name", "count"), REPORT.items())
def test_the_reports_networks_are_exact_to_the_parameter(name, count):
    with torch.device("meta"):
        model = architectures.build(name)
    assert sum(p.numel() for p in model.parameters()) == count


def conv_parameters(dims, inputs, outputs, kernel):
    return inputs * outputs * kernel**dims + outputs


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["unet-5", "unet-4-8", "unet-3-5-7", "unet-8-16-32-64"])
def test_any_widths_have_the_parameters_that_the_formula_gives(name, dims):
    w = widths(name)
    expected = 0
    for inputs, outputs in zip((2, *w[:-1]), w, strict=True):
        expected += conv_parameters(dims, inputs, outputs, 3) + conv_parameters(dims, outputs, outputs, 3)
    for deep, shallow in zip(w[:0:-1], w[-2::-1], strict=True):
        expected += conv_parameters(dims, deep, shallow, 2)
        expected += conv_parameters(dims, 2 * shallow, shallow, 3)
        expected += conv_parameters(dims, shallow, shallow, 3)
    expected += conv_parameters(dims, w[0], 3, 1)
    model = architectures.build(name, dims, in_channels=2, out_channels=3)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_taps_stand_after_every_block():
    _, taps = architectures.build("unet-2-4-8").forward_intermediates(torch.zeros(1, 1, 8, 8))
    assert list(taps) == [("encoder", s) for s in (1, 2, 4)] + [("decoder", 2), ("decoder", 1)]


def test_a_side_that_the_depth_does_not_divide_is_named():
    with pytest.raises(ValueError, match=r"multiple of 4, not \(10, 8\)"):
        architectures.build("unet-2-4-8")(torch.zeros(1, 1, 10, 8))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_an_uncompiled_network_keeps_the_layout_of_its_images_and_its_values(layout):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 16, 16)
    network = architectures.build("unet-4-8", 2, 1, 1)
    logits, taps = network.forward_intermediates(images)
    arranged = network.to(memory_format=layout)
    again, features = arranged.forward_intermediates(images.contiguous(memory_format=layout))
    assert all(feature.is_contiguous(memory_format=layout) for feature in features.values())
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(features, taps)
