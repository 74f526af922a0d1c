import math

import numpy as np
import pytest
import torch
from torch import nn

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.study.reporter import Reporter
from bench.training.loop import Diverged, train
from bench.training.losses import segmentation_loss
from bench.training.step import Task

CPU = Runtime(torch.device("cpu"), "fp32", 2, compiled=False)


@pytest.mark.parametrize("spatial", [(4, 5), (2, 3, 4)])
def test_segmentation_loss_by_hand(spatial):
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(3, 1, *spatial)), rng.integers(0, 2, (3, *spatial))
    p = 1 / (1 + np.exp(-z[:, 0]))
    bce = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    dice = [(2 * (p[k] * y[k]).sum() + 1) / (p[k].sum() + y[k].sum() + 1) for k in range(len(y))]
    logits, labels = torch.tensor(z), torch.tensor(y, dtype=torch.uint8)
    assert segmentation_loss(logits, labels).mean().item() == pytest.approx(
        bce + 1 - np.mean(dice), rel=1e-5
    )
    assert segmentation_loss(logits, labels, "bce").mean().item() == pytest.approx(bce, rel=1e-5)


def test_segmentation_loss_of_several_classes_by_hand():
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(2, 3, 4, 4)), rng.integers(0, 3, (2, 4, 4))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    entropy = -np.log(np.take_along_axis(p, y[:, None], axis=1)).mean()
    dice = [
        (2 * (p[k, c] * (y[k] == c)).sum() + 1) / (p[k, c].sum() + (y[k] == c).sum() + 1)
        for k in range(2)
        for c in (1, 2)
    ]
    value = segmentation_loss(torch.tensor(z), torch.tensor(y)).mean()
    assert value.item() == pytest.approx(entropy + 1 - np.mean(dice), rel=1e-5)


@pytest.mark.parametrize("fill", [0, 1])
def test_no_nan_on_empty_and_full_masks(fill):
    logits = torch.full((2, 1, 4, 4), 80.0, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((2, 4, 4), fill, dtype=torch.uint8)).mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


class Rows(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def epoch(self, phase, row):
        assert phase == "train"
        self.rows.append(row)


def run(prepared, epochs=2, scores=None, name="unet-2-4"):
    torch.manual_seed(0)
    given, told = iter(scores or []), Rows()
    stream = SampleStream(prepared, 0, epochs)
    task = Task(architectures.build(name), methods.build("baseline"), stream, CPU)
    return train(task, lambda model: next(given, 0.5), told), told.rows


def test_the_same_seed_gives_the_same_weights(small_phantom):
    first, again = run(small_phantom)[0], run(small_phantom)[0]
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_loss_falls(small_phantom):
    _, rows = run(small_phantom, epochs=6, name="unet-4-8-16")
    assert rows[-1]["seg"] < 0.97 * rows[0]["seg"]


def test_the_best_epoch_is_kept_and_ties_go_to_the_earlier(small_phantom):
    kept, rows = run(small_phantom, epochs=4, scores=[0.1, 0.7, 0.7, 0.3])
    assert kept.best_epoch == 2
    assert [row["dice_val"] for row in rows] == [0.1, 0.7, 0.7, 0.3]
    # Cosine over 4 epochs: weights after epoch 2 differ from those after 4.
    last, _ = run(small_phantom, epochs=4, scores=[0.1, 0.2, 0.3, 0.4])
    assert last.best_epoch == 4
    assert not torch.equal(next(kept.model.parameters()), next(last.model.parameters()))


def test_the_learning_rate_follows_the_cosine(small_phantom):
    _, rows = run(small_phantom, epochs=4)
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)


def test_a_loss_that_is_not_finite_stops_the_job(small_phantom, monkeypatch):
    real = architectures.build

    class Exploding(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = real("unet-2")

        def forward(self, x):
            return self.inner(x) * float("inf")

    monkeypatch.setattr(architectures, "build", lambda name: Exploding())
    with pytest.raises(Diverged, match="epoch 1, batch 1"):
        run(small_phantom)
