"""Pruned networks: their shapes, that nothing is cut at the wrong place, and which channels go."""

import json
import math

import pytest
import torch
from commands import needs
from torch import nn

import architectures
from methods.reshaping.channels import Structure
from methods.reshaping.criteria import scores
from methods.reshaping.pruning import Prune, prune, shape_of

needs("torch_pruning")

NAMES = ["unet-4-8-16", *(name for name in architectures.names() if not name.startswith("unet-"))]
CELLS = [(name, dims) for name in NAMES for dims in (2, 3)]


def network(name, dims=2, out_channels=1, seed=0):
    torch.manual_seed(seed)
    module = architectures.build(name, dims, out_channels=out_channels)
    side = 16 if name == "dmfnet" else 2 * architectures.stride(name)
    x = torch.randn(2, 1, *[side] * dims)
    with torch.no_grad():
        module(x)  # statistics of BatchNorm that are not those it starts with
    return module, x


def sizes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_half_of_a_unet_is_the_unet_of_half_the_widths():
    module = architectures.build("unet-64-128-256-512")
    half, shape = prune(module, torch.zeros(1, 1, 16, 16), Prune(0.5))
    other = architectures.build("unet-32-64-128-256")
    assert sizes(half) == sizes(other)
    assert shape == shape_of(other)
    x = torch.randn(1, 1, 16, 16)
    other.load_state_dict(half.state_dict())
    with torch.no_grad():
        assert torch.equal(half.eval()(x), other.eval()(x))


@pytest.mark.parametrize(("name", "dims"), CELLS)
@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_pruned_network_is_rebuilt_from_its_shape(name, dims, scope, recwarn):
    module, x = network(name, dims)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    smaller, shape = prune(module, x[:1], Prune(0.5, scope=scope))
    assert parameters(smaller) < 0.6 * parameters(module)
    assert sizes(smaller).keys() == sizes(module).keys()
    assert json.loads(json.dumps(shape)) == shape
    rebuilt = architectures.build(name, dims, shape=json.loads(json.dumps(shape)))
    assert sizes(rebuilt) == sizes(smaller)
    assert not torch.equal(rebuilt(x), smaller.train()(x))
    rebuilt.load_state_dict(smaller.state_dict())
    recwarn.clear()
    logits, taps = rebuilt.eval().forward_intermediates(x)
    assert torch.equal(logits, smaller.eval()(x))
    assert taps.keys() == module.forward_intermediates(x)[1].keys()
    assert not list(recwarn)
    after = module.state_dict()
    keys = [key for key in before if "running" not in key and "tracked" not in key]
    assert all(torch.equal(after[key], before[key]) for key in keys)
    logits.mean().backward()


@pytest.mark.parametrize(("name", "dims"), CELLS)
def test_channels_that_are_nothing_can_go_without_a_trace(name, dims):
    """A skip that is cut at the wrong offset has the right shape and gives other numbers."""
    module, x = network(name, dims)
    module.eval()
    structure = Structure(module, x)
    for number, channels in enumerate(structure.sets()):
        each = channels.size // channels.groups
        position = number % each
        gone = [group * each + position for group in range(channels.groups)]
        with torch.no_grad():
            for part in channels.parts:
                if not part.output:
                    continue
                here = [int(h) for h, t in zip(part.here, part.there, strict=True) if int(t) in gone]
                part.conv.weight.index_fill_(int(part.conv.transposed), torch.tensor(here), 0)
                if part.conv.bias is not None:
                    part.conv.bias[here] = 0
    silence(module)
    with torch.no_grad():
        expected = module(x)
    for number, channels in enumerate(list(structure.sets())):
        each = channels.size // channels.groups
        position = number % each
        structure.remove(channels, [group * each + position for group in range(channels.groups)])
    structure.widths_told()
    assert parameters(module) < parameters(network(name, dims)[0])
    with torch.no_grad():
        assert (module(x) - expected).abs().max() < 1e-5


def silence(module):
    """BatchNorm without shift, so that a channel of zeros stays one of zeros."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.zeros_(part.running_mean)
            nn.init.zeros_(part.bias)


def test_l2_and_l1_keep_the_channels_of_the_largest_weights():
    """Eight channels; what makes and reads each has a weight that is known."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1, 8, 2, 7, 3, 6, 4, 5.0]).reshape(8, 1, 1, 1))
        net[2].weight.fill_(0.01)
    for criterion in ("l2", "l1"):
        smaller, _ = prune(net, torch.zeros(1, 1, 4, 4), Prune(0.5, criterion))
        assert smaller[0].weight.flatten().tolist() == [8, 7, 6, 5]
    with torch.no_grad():
        net[0].weight.fill_(0.01)
        net[2].weight.zero_()
        net[2].weight[:, 2] = 1.0  # four times 1: l1 4, l2 2
        net[2].weight[0, 5] = 3.0  # once 3: l1 3, l2 3
        net[4].weight.copy_(torch.tensor([9, 0.1, 0.1, 0.1]).reshape(1, 4, 1, 1))  # the first is kept
    kept = {}
    for criterion in ("l2", "l1"):
        smaller, _ = prune(net, torch.zeros(1, 1, 4, 4), Prune(0.85, criterion))
        kept[criterion] = float(smaller[2].weight.detach().max())
    assert kept == {"l2": 3.0, "l1": 1.0}


def test_taylor_keeps_what_the_loss_depends_on():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor([-9.0, 0, -9, 0]))  # of ones, the first and third say nothing
        net[2].weight.abs_()
        net[4].weight.abs_()
    batches = [(torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))] * 2
    smaller, _ = prune(
        net, torch.zeros(1, 1, 4, 4), Prune(0.5, "taylor"), 0, batches, nn.functional.mse_loss
    )
    assert smaller[0].bias.tolist() == [0, 0]
    for missing in ({"batches": batches}, {"loss": nn.functional.mse_loss}):
        with pytest.raises(ValueError, match="taylor needs"):
            prune(net, torch.zeros(1, 1, 4, 4), Prune(0.5, "taylor"), **missing)


def test_random_is_fixed_by_its_seed():
    module, x = network("unet-4-8-16")
    states = [prune(module, x, Prune(0.5, "random"), seed)[0].state_dict() for seed in (0, 0, 1)]
    first = "encoder.2.0.weight"
    assert torch.equal(states[0][first], states[1][first])
    assert not torch.equal(states[0][first], states[2][first])


def test_global_takes_from_the_weakest_layers():
    module, x = network("unet-8-16")
    with torch.no_grad():
        module.encoder[1][0].weight[4:] *= 0.01
        module.encoder[1][3].weight[:, 4:] *= 0.01
    _, shape = prune(module, x, Prune(0.3, scope="global"))
    usual = shape_of(module)
    assert shape["encoder.1.0"][0] <= 12
    assert shape["head"] == usual["head"], "what the head reads is left out"
    ranked = ("encoder.0.0", "encoder.0.3", "encoder.1.0", "encoder.1.3", "up.0", "decoder.0.0")
    total = sum(usual[name][0] for name in ranked)
    removed = sum(usual[name][0] - shape[name][0] for name in ranked)
    assert removed == pytest.approx(0.3 * total, abs=1)


def headed(positive, negative):
    """A network whose head has many large negative weights, as where most pixels are background."""
    module, x = network("unet-8-16")
    with torch.no_grad():
        weights = torch.tensor([*[0.5] * positive, *[-2.0] * negative])
        module.head.weight.copy_(weights.reshape(1, 8, 1, 1))
        module.head.bias.fill_(-0.1)
        # Channels for the foreground are dark where those against it are bright.
        last = module.decoder[-1][3]
        last.weight[positive:] = -last.weight[:1]
        last.weight[:positive] = last.weight[:1]
    return module.eval(), x


def test_by_norm_the_head_would_keep_only_what_speaks_against():
    """The trap: Dice is exactly 0 whatever the image, and no training of the head's inputs changes that."""
    module, x = headed(positive=4, negative=4)
    structure = Structure(module, x)
    (last,) = (channels for channels in structure.sets() if channels.reads(structure.head))
    weakest = scores(last, "l2", torch.Generator()).argsort()[:4]
    with torch.no_grad():
        assert (module(x) > 0).any()
        structure.remove(last, sorted(weakest.tolist()))
        structure.widths_told()
        assert (module.head.weight < 0).all()
        assert not any((module(100 * torch.randn_like(x)) > 0).any() for _ in range(5))


@pytest.mark.parametrize("criterion", ["l2", "l1", "taylor", "random"])
@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_the_head_keeps_what_speaks_for_and_against(criterion, scope):
    module, x = headed(positive=4, negative=4)
    data = {"batches": [(x, (x > 1).float())], "loss": nn.functional.binary_cross_entropy_with_logits}
    smaller, _ = prune(module, x, Prune(0.5, criterion, scope), **data)
    assert (smaller.head.weight > 0).any()
    assert (smaller.head.weight < 0).any()
    with torch.no_grad():
        assert (smaller(x) > 0).any()


def test_evidence_is_kept_for_every_class():
    module, x = network("unet-16-32", out_channels=3)
    smaller, _ = prune(module, x, Prune(0.5))
    for weights in smaller.head.weight.flatten(1):
        assert (weights > 0).any()
        assert (weights < 0).any()


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 2, math.nan])
def test_ratios_that_remove_nothing_or_all_are_refused(ratio):
    with pytest.raises(ValueError, match="ratio must lie between 0 and 1"):
        Prune(ratio)


@pytest.mark.parametrize("field", ["criterion", "scope", "init"])
def test_unknown_words_are_refused_with_the_known_ones(field):
    with pytest.raises(ValueError, match=f"{field} must be one of .*, not 'other'"):
        Prune(0.5, **{field: "other"})


@pytest.mark.parametrize(("name", "scope"), [("unet-1-2", "uniform"), ("unet-1-1", "global")])
def test_networks_too_narrow_to_prune_are_one_line(name, scope):
    module, x = network(name)
    with pytest.raises(ValueError, match=r"too narrow to prune by 0\.5: ") as refused:
        prune(module, x, Prune(0.5, scope=scope))
    assert "\n" not in str(refused.value)
