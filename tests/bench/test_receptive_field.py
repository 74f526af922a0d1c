import pytest

from bench.receptive_field import receptive_field


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
    assert receptive_field(name) == pixels


def test_levels_not_widths_give_reach():
    fields = [receptive_field(f"unet-{w}") for w in ("2", "2-4", "2-4-8", "2-4-8-16")]
    assert fields == sorted(set(fields))
    assert receptive_field("unet-4-4-4-4") == fields[-1]
