"""Networks of other widths than their names say."""

import pytest
import torch

import architectures


def shape_of(module):
    """As pruning writes it."""
    shape = {}
    for name, part in module.named_modules():
        if hasattr(part, "out_channels"):
            shape[name] = [part.out_channels, part.in_channels, part.groups]
        elif hasattr(part, "num_features"):
            shape[name] = [part.num_features]
    return shape


@pytest.mark.parametrize("dims", [2, 3])
def test_a_shape_makes_the_network_that_it_was_taken_of(dims):
    small = architectures.build("unet-2-4", dims)
    network = architectures.build("unet-8-16", dims, shape=shape_of(small))
    assert repr(network) == repr(small)
    network.load_state_dict(small.state_dict())
    x = torch.randn(1, 1, *[4] * dims)
    assert torch.equal(network(x), small(x))


def test_new_weights_are_drawn_as_the_network_draws_them():
    shape = {"stem": [64, 1, 1]}
    stem = architectures.build("dmfnet", shape=shape).stem.weight.detach()
    assert float(stem.std()) == pytest.approx((2 / 9) ** 0.5, rel=0.15)  # He et al.: fan-in 9
    norm = architectures.build("dmfnet", shape={"encoder.0.0.squeeze.0": [5]}).encoder[0][0].squeeze[0]
    assert norm.weight.tolist() == norm.running_var.tolist() == [1] * 5
    assert norm.bias.tolist() == norm.running_mean.tolist() == [0] * 5


@pytest.mark.parametrize("shape", [{"encoder.7.0": [2, 2, 1]}, {"encoder.0.0": [2]}, {"encoder": [2]}])
def test_a_shape_of_another_network_is_one_line(shape):
    (name,) = shape
    with pytest.raises(ValueError, match=f"a shape of another network: '{name}'") as refused:
        architectures.build("unet-2-4", shape=shape)
    assert "\n" not in str(refused.value)
