"""Loss values against a computation in NumPy, written from the formulas and sharing no code."""

import numpy as np
import pytest
import torch

from methods.training.at_kd import attention_distance, attention_map
from methods.training.pm_kd import prediction_map_distance

SHAPES = [(5, 4), (3, 4, 2)]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def probabilities(z):
    """(N, C, ...) logits; one channel z is the pair (0, z)."""
    return softmax(np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z)


def pixelwise_kl(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def expected_pm(s, t, variant, temperature):
    if variant == "paper":
        return pixelwise_kl(probabilities(s), probabilities(t)).mean()
    p, q = probabilities(t / temperature), probabilities(s / temperature)
    if variant == "common":
        return temperature**2 * pixelwise_kl(p, q).mean()
    # The public code: softmax over channels, then rows of two values, "batchmean" over those rows.
    rows = p.size / 2
    return temperature**2 * (p * np.log(p / q)).sum() / rows


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("variant", ["common", "official", "paper"])
def test_prediction_maps(variant, channels, spatial):
    rng = np.random.default_rng(channels)
    s, t = rng.normal(0, 3, (2, 3, channels, *spatial))
    value = prediction_map_distance(torch.tensor(s), torch.tensor(t), variant, 4.0).mean()
    assert value.item() == pytest.approx(expected_pm(s, t, variant, 4.0), rel=1e-9)


def test_the_public_code_weighs_c_classes_two_over_c():
    z = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    official = prediction_map_distance(z, z.flip(0), "official")
    assert official / prediction_map_distance(z, z.flip(0), "common") == pytest.approx([2 / 3] * 2)


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("variant", ["common", "official", "paper"])
def test_attention_maps(variant, spatial):
    rng = np.random.default_rng(7)
    pairs, expected = [], []
    for channels_s, channels_t, factor in ((4, 6, 1), (3, 5, 2)):
        size = tuple(side * factor for side in spatial)
        a_s, a_t = rng.normal(size=(2, channels_s, *size)), rng.normal(size=(2, channels_t, *size))
        q_s, q_t = ((a**2).sum(axis=1).reshape(2, -1) for a in (a_s, a_t))
        difference = q_s / np.sqrt((q_s**2).sum(1))[:, None] - q_t / np.sqrt((q_t**2).sum(1))[:, None]
        pairs.append((attention_map(torch.tensor(a_s)), attention_map(torch.tensor(a_t))))
        expected.append(
            {
                "common": (difference**2).sum(axis=1).mean(),
                "official": (difference**2).mean(),
                "paper": np.sqrt((difference**2).sum(axis=1)).mean() / 2,
            }[variant]
        )
    total = np.mean(expected) if variant == "common" else np.sum(expected)
    assert attention_distance(pairs, variant).mean().item() == pytest.approx(total, rel=1e-5)


def test_the_common_attention_distance_does_not_depend_on_the_images_size():
    s, t = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)

    def blown_up(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    small = [(attention_map(s), attention_map(t))]
    large = [(attention_map(blown_up(s)), attention_map(blown_up(t)))]
    assert torch.allclose(attention_distance(small), attention_distance(large), rtol=1e-5)
    assert not torch.allclose(
        attention_distance(small, "official"), attention_distance(large, "official"), rtol=0.1
    )
