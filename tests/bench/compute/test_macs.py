"""Two counters, one number: torch's computes nothing, fvcore's traces a pass."""

import pytest

import architectures
from bench.compute.macs import forward_macs, macs


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["unet-32-64", "unet-8-16-32-64", "dmfnet"])
def test_both_counters_agree(name, dims):
    side = 2 * architectures.stride(name)
    module = architectures.build(name, dims).eval()
    assert macs(module, (1, 1, *[side] * dims)) == forward_macs(name, dims, 1, 1, side)


def test_by_hand():
    # unet-2: conv 1->2, conv 2->2, head 2->1 on 4 x 4.
    assert forward_macs("unet-2", 2, 1, 1, 4) == 16 * (9 * 2 + 9 * 4 + 2)
