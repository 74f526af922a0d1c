"""What every registered network must keep, in 2-D and in 3-D."""

import pytest
import torch

import architectures

CELLS = [(name, dims) for name in architectures.names() for dims in (2, 3)]


def test_the_package_stands_alone():
    import subprocess
    import sys

    code = (
        "import sys, architectures, methods; sys.exit(any(m.split('.')[0] == 'bench' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


@pytest.mark.parametrize("dims", [2, 3])
def test_forward_gives_logits_and_gradients(dims):
    for name in ("unet-4-8-16",):
        torch.manual_seed(0)
        model = architectures.build(name, dims)
        x = torch.randn(2, 1, *[architectures.stride(name) * 2] * dims)
        logits = model(x)
        assert torch.equal(logits, model.forward_intermediates(x)[0])
        assert logits.min() < 0 or logits.max() > 1, "looks like probabilities"
        logits.pow(2).mean().backward()
        weights = {n: p for n, p in model.named_parameters() if p.ndim >= 2}
        assert all(p.grad.abs().max() > 0 for p in weights.values())


@pytest.mark.parametrize("name", ["unet", "unet-", "unet-0", "unet-a", "vnet", "", "unet-8-", "../unet-8"])
def test_unknown_names_are_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"known: .*unet-32-64"):
        architectures.build(name)


def test_only_two_and_three_dimensions():
    with pytest.raises(ValueError, match="2 or 3"):
        architectures.build("unet-4", spatial_dims=1)
