"""The mean of several teachers, and targets of other samples."""

import numpy as np
import pytest
import torch

from bench.training.several import MeanOfNetworks, mean_logits, others, shuffled
from bench.training.step import Targets


@pytest.mark.parametrize("channels", [1, 3])
def test_targets_of_several_are_the_mean_of_their_probabilities(channels):
    z = torch.randn(3, 2, channels, 5, 4, generator=torch.Generator().manual_seed(0)) * 3
    values = z.double().numpy()
    if channels == 1:
        expected = (1 / (1 + np.exp(-values))).mean(axis=0)
        found = mean_logits(list(z)).sigmoid()
    else:
        exponents = np.exp(values)
        expected = (exponents / exponents.sum(axis=2, keepdims=True)).mean(axis=0)
        found = mean_logits(list(z)).softmax(dim=1)
    assert np.allclose(found.numpy(), expected, atol=1e-6)


def test_one_network_alone_is_itself_and_sure_networks_stay_finite():
    z = torch.tensor([-200.0, -3.0, 0.0, 5.0, 200.0]).reshape(1, 1, 5)
    assert torch.allclose(mean_logits([z]), z)
    assert torch.allclose(mean_logits([z, z, z]), z)
    # Half of them sure of one, half of the other: p = 0.5.
    assert torch.allclose(mean_logits([z, -z]), torch.zeros_like(z), atol=1e-4)
    many = torch.tensor([[300.0, -300.0, 0.0]]).reshape(1, 3, 1)
    assert mean_logits([many, many]).isfinite().all()


def test_the_mean_of_networks_is_one_network():
    networks = [torch.nn.Conv2d(1, 1, 1) for _ in range(2)]
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(MeanOfNetworks(networks)(x), mean_logits([network(x) for network in networks]))


def test_shuffled_targets_are_those_of_other_samples_and_always_the_same():
    rows = torch.arange(16.0)
    asked = []

    def read(epoch, batch):
        asked.append((epoch, batch))
        return {"logits": rows + 100 * batch, "map": -rows}

    targets = shuffled(Targets(read, ahead=False), seed=3)
    assert not targets.ahead
    first, again, other = targets.read(1, 2), targets.read(1, 2), targets.read(1, 3)
    assert asked == [(1, 2), (1, 2), (1, 3)]
    assert torch.equal(first["logits"], again["logits"])
    assert sorted((first["logits"] - 200).tolist()) == rows.tolist(), "each target is used once"
    assert not (first["logits"] - 200 == rows).any(), "and none by its own sample"
    assert torch.equal(first["map"], -(first["logits"] - 200)), "all targets of a sample go together"
    assert not torch.equal(first["logits"] - 200, other["logits"] - 300)
    assert all((others(seed, 0, 0, 2) == torch.tensor([1, 0])).all() for seed in range(5))
