"""What docs/why-it-failed.md says of the 2-D DMFNet, on slices small enough for a test."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from bench.data import phantom
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient

SCRIPT = Path(__file__).resolve().parent.parent.parent / "docs" / "why-it-failed" / "symptom.py"


@pytest.fixture(scope="module")
def symptom():
    spec = importlib.util.spec_from_file_location("symptom", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def slices():
    dataset = phantom.generate(side=32)
    return PreparedImages(dataset, split_by_patient(dataset), 32)


@pytest.fixture(scope="module")
def train(symptom, slices):
    def of(variant, epochs):
        torch.manual_seed(0)
        model = symptom.VARIANTS[variant]()
        before = [p.detach().clone() for p in model.parameters()]
        curves = symptom.curves(model, slices, epochs)
        moved = max((a - b).abs().max().item() for a, b in zip(model.parameters(), before, strict=True))
        return curves, moved

    return of


def test_a_softmax_over_one_channel_never_moves(train, symptom, slices):
    curves, moved = train("softmax over one channel", 2)
    assert moved == 0
    assert curves.val_loss.nunique() == 1
    assert curves.dice.tolist() == [symptom.everything_is_liver(slices)] * 2


def test_a_sigmoid_inside_calls_everything_liver(train, symptom, slices):
    """The weights learn, but what the threshold takes for logits is never below zero."""
    curves, moved = train("sigmoid inside", 3)
    assert moved > 0
    assert curves.dice.tolist() == [symptom.everything_is_liver(slices)] * 3
    background = 1 - sum((m > 0).mean() for m in slices.val.masks) / len(slices.val.masks)
    assert curves.val_loss.min() > background * math.log(2)


@pytest.mark.parametrize("variant", ["sound: logits", "kernel of size one"])
def test_logits_learn_with_either_kernel(variant, train, symptom, slices):
    curves, _ = train(variant, 3)
    assert curves.train_loss.iloc[-1] < 0.8 * curves.train_loss.iloc[0]
    assert curves.dice.max() > symptom.everything_is_liver(slices) + 0.1
