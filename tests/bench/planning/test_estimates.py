"""What is known of a network before it is trained, whatever its author did in it."""

import pytest
import torch
from samples import blank_job
from torch import nn

import architectures
from bench.compute.macs import forward_macs
from bench.planning.estimates import probe, target_sizes, training_bytes


class Looks(nn.Module):
    """Looks at a number, which torch's meta device has not."""

    def __init__(self, spatial_dims, in_channels, out_channels):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.layer(x / max(1.0, x.abs().max().item()))


class Several(Looks):
    """Gives a list, as networks with deep supervision do."""

    def forward(self, x):
        return [self.layer(x)]


@pytest.fixture
def registered():
    before = list(architectures.FAMILIES)
    architectures.register("looks")(Looks)
    architectures.register("several")(Several)
    yield
    architectures.FAMILIES[:] = before


@pytest.mark.usefixtures("registered")
def test_a_network_that_looks_at_numbers_is_planned():
    job = blank_job(architecture="looks", image_size=16)
    assert probe("looks", job).reason == ""
    assert forward_macs("looks", 2, 1, 1, 16) == 16 * 16 * 9
    assert training_bytes(job) > 0
    taught = blank_job(architecture="looks", method="pm-kd", image_size=16)
    assert target_sizes(taught, "looks") == {"logits": 16 * 16}


@pytest.mark.usefixtures("registered")
def test_a_network_without_logits_is_left_out_with_the_reason():
    assert (
        "several gives a list; its output must be one tensor of logits"
        in probe("several", blank_job(architecture="several", image_size=16)).reason
    )


def test_nothing_is_computed_where_nothing_need_be():
    seen = []

    class Spy(Looks):
        def forward(self, x):
            seen.append(x.device)
            return self.layer(x)

    before = list(architectures.FAMILIES)
    architectures.register("spy")(Spy)
    try:
        forward_macs("spy", 2, 1, 1, 16)
    finally:
        architectures.FAMILIES[:] = before
    assert seen == [torch.device("meta")]
