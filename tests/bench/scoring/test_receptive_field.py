"""How far networks see, ours by hand and others whatever they are made of."""

import pytest
import torch
from monai.networks.nets import BasicUNet, SegResNet
from torch import nn
from torch.nn import functional as F

import architectures
from bench.report.old_records import reach
from bench.scoring.receptive_field import receptive_field


def field(name, dims=2):
    return receptive_field(architectures.build(name, dims), architectures.stride(name), dims)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("unet-2", 5),  # two convolutions of size 3
        # Two convolutions on the way up: 5 pixels, under 3 of the pooled; two convolutions there: 7 pooled,
        # 14 pixels; two convolutions before the pooling: 18.
        ("unet-2-4", 18),
        ("unet-3-9", 18),
    ],
)
def test_by_hand(name, pixels):
    assert field(name) == pixels
    assert field(name, 3) == pixels


def test_levels_not_widths_give_reach():
    fields = [field(f"unet-{w}") for w in ("2", "2-4", "2-4-8", "2-4-8-16")]
    assert fields == sorted(set(fields))
    assert field("unet-4-4-4-4") == fields[-1]


@pytest.mark.parametrize("name", [*architectures.names(), "unet-2", "unet-2-2-2-2-2", "unet-2-2-2-2-2-2"])
def test_old_records_have_what_is_measured(name):
    assert reach(name) == (architectures.stride(name), field(name))


class Upsampled(nn.Module):
    """Pooled by two, a convolution of three there, brought back by ``how``, a convolution of three."""

    def __init__(self, how):
        super().__init__()
        self.before, self.pool, self.inner = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1),
        )
        self.up, self.head = how, nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return self.head(self.up(F.relu(self.inner(self.pool(F.relu(self.before(x)))))))


def test_upsampling_layers_of_any_kind():
    # Three pixels of the output lie over two pooled ones; the convolution sees four of them: 8 pixels, and
    # 10 before the first convolution.
    assert receptive_field(Upsampled(nn.Upsample(scale_factor=2)), 2) == 10
    # Bilinear ones see one pooled pixel more on each side.
    smooth = nn.Upsample(scale_factor=2, mode="bilinear")
    assert (
        receptive_field(Upsampled(smooth), 2)
        == receptive_field(Upsampled(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")), 2)
        > 10
    )


class Global(nn.Module):
    """Every pixel sees the mean of the image."""

    def __init__(self):
        super().__init__()
        self.squeeze, self.conv = nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.conv(x) * torch.sigmoid(self.squeeze(x))


def test_a_global_path_is_no_number_and_ends():
    assert receptive_field(Global(), 1) is None


def test_networks_made_elsewhere():
    blocks = SegResNet(2, 8, 1, 1, blocks_down=(1, 1), blocks_up=(1,))
    assert 10 < receptive_field(blocks, 2) < 60
    assert receptive_field(BasicUNet(3, 1, 1, features=(2, 2, 2, 2, 2, 2)), 16, 3) > 100


def test_a_network_that_can_not_be_asked_is_no_number():
    class Picky(nn.Module):
        def forward(self, x):
            raise ValueError("squares only")

    assert receptive_field(Picky(), 1) is None
    assert receptive_field(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(7, 1)), 1) is None


def test_the_network_stays_as_it_is():
    model = architectures.build("unet-2-4")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    receptive_field(model, 2)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert isinstance(model.pool, nn.MaxPool2d)
