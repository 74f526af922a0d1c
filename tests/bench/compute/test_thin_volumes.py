"""Gradients of 3-D convolutions in bf16, beside those in fp32."""

import copy

import pytest
import torch
from torch import nn

import architectures
from bench.compute.runtime import Runtime
from bench.compute.thin_volumes import SoundConv3d


def gradients(model, x, y, precision):
    """Of every weight, after one step's backward pass as a job does it."""
    runtime = Runtime(torch.device("cpu"), precision, 1, False)
    model = copy.deepcopy(model)
    runtime.place(model, x.ndim - 2)
    model = copy.deepcopy(model)  # as the gate and several networks at once do
    with runtime.autocast():
        output = model(x)
    (output.float() * y).sum().backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


@pytest.mark.parametrize("sides", [(2, 2, 2), (2, 3, 3), (2, 8, 8), (2, 2, 1), (4, 2, 2), (3, 3, 3)])
@pytest.mark.parametrize("groups", [1, 16])
def test_a_convolution_has_the_gradient_of_fp32(sides, groups):
    torch.manual_seed(0)
    conv = nn.Conv3d(64, 64, 3, padding=1, groups=groups, bias=False)
    x, y = torch.randn(4, 64, *sides), torch.randn(4, 64, *sides)
    exact, found = (gradients(conv, x, y, precision)["weight"] for precision in ("fp32", "bf16"))
    assert (found - exact).norm() <= 0.02 * exact.norm()


def test_a_network_whose_deepest_level_is_thin_has_gradients_of_a_usual_size():
    torch.manual_seed(0)
    network = architectures.build("dmfnet", 3, 1, 1).train()
    x, y = torch.randn(4, 1, 32, 32, 32), torch.randn(4, 1, 32, 32, 32)
    exact, found = (gradients(network, x, y, precision) for precision in ("fp32", "bf16"))
    for name, gradient in found.items():
        assert torch.isfinite(gradient).all(), name
        assert gradient.norm() <= 10 * exact[name].norm() + 1e-3, name


def test_weights_and_their_names_stay_and_fp32_is_left_alone():
    network = architectures.build("dmfnet", 3, 1, 1)
    before = copy.deepcopy(network.state_dict())
    Runtime(torch.device("cpu"), "fp32", 1, False).place(network, 3)
    assert not any(isinstance(module, SoundConv3d) for module in network.modules())
    Runtime(torch.device("cpu"), "bf16", 1, False).place(network, 3)
    assert any(isinstance(module, SoundConv3d) for module in network.modules())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
