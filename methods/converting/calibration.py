"""Which training images a network is calibrated on, and what they are worth."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

from methods.converting.graph import given


def draw(patients: Sequence[Hashable], samples: int = 300, seed: int = 0) -> list[int]:
    """Indices of the training samples to calibrate on, dealt over all patients.

    Each patient gives one sample, drawn at random, before any gives a second. The first 300 slices in the
    order of a split would be those of a few patients.

    Args:
        patients: the patient of every training sample, in the order of the samples.
        samples: how many; all of them where there are fewer.
        seed: of the draw.

    Raises:
        ValueError: no training sample, or ``samples`` below one.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    if not patients:
        raise ValueError("no training image to calibrate with")
    generator = random.Random(seed)
    of: dict[Hashable, list[int]] = {}
    for index, patient in enumerate(patients):
        of.setdefault(patient, []).append(index)
    decks = list(of.values())
    generator.shuffle(decks)
    for deck in decks:
        generator.shuffle(deck)
    rounds = max(map(len, decks))
    dealt = [deck[turn] for turn in range(rounds) for deck in decks if turn < len(deck)]
    return dealt[:samples]


def singles(images: Iterable[Tensor]) -> list[Tensor]:
    """Batches to images ``(1, C, *spatial)``, which the statistics count one by one.

    Raises:
        ValueError: there is no image.
    """
    return [image for batch in given(images) for image in batch.split(1)]


def doubts(images: Sequence[Tensor]) -> list[str]:
    """What is wrong with calibration images, in a sentence each; ranges from such images are too narrow."""
    flat = sum(bool(image.min() == image.max()) for image in images)
    found = []
    if len(images) == 1:
        found.append("calibrated on a single image")
    if flat == len(images):
        found.append("calibrated on images that show nothing: each has one grey value")
    elif flat > len(images) / 2:
        found.append(f"{flat} of {len(images)} calibration images show nothing: each has one grey value")
    return found
