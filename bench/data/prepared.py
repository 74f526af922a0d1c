"""From a dataset and a split to the tensors that a job trains on and is scored with.

What all code that trains and scores asks for is ``Prepared``: 2-D images (``prepared_images``) and volumes,
whole, in patches or in slices (``prepared_volumes``), answer alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.dataset import Dataset
from bench.data.splits import Split


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, of the training images only."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise ``(N, C, *spatial)``."""
        shape = (1, -1) + (1,) * (images.ndim - 2)
        return (images - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)


@dataclass(frozen=True)
class Scored:
    """A part of the split as it is scored: images for the networks, masks as they came.

    Images of 2-D datasets are one tensor at network size. Volumes are ``(C, *spatial)`` each and
    predicted in windows of ``patch``; ``spacing`` is that of the masks, in mm.
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    images: Tensor | list[Tensor]
    masks: list[NDArray[np.uint8]]
    spacing: tuple[tuple[float, ...], ...] = ()
    patch: tuple[int, ...] = ()


class Prepared(Protocol):
    """Training samples, validation and test of one study at one image size.

    The test part is a property that nothing touches under ``--no-test``.
    """

    @property
    def dataset(self) -> Dataset:
        """Where it comes from."""

    @property
    def split(self) -> Split:
        """Which cases are training, validation and test."""

    @property
    def image_size(self) -> int:
        """The side that was asked for."""

    @property
    def spatial_dims(self) -> int:
        """Of what networks see."""

    @property
    def patch(self) -> tuple[int, ...]:
        """Sides of what networks see of a volume; empty: images are seen whole."""

    @property
    def largest(self) -> tuple[int, ...]:
        """Sides that no patch of the volumes exceeds; empty: images have any side."""

    @property
    def usual_size(self) -> int:
        """The image size to take where the user names none and this one was the dataset's usual."""

    @property
    def samples(self) -> int:
        """Training samples that make an epoch."""

    @property
    def sample_patients(self) -> Sequence[str]:
        """The patient of each training sample that batches are made of."""

    @property
    def unlabelled_patients(self) -> Sequence[str]:
        """The patient of each further sample, which has no labels; they are numbered after the others."""

    @property
    def val(self) -> Scored:
        """Validation cases."""

    @property
    def test(self) -> Scored:
        """Test cases; reading this is the one reading of the test set."""

    def take(self, rows: Sequence[int], key: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Copies of training samples: images ``(N, C, *spatial)`` float32, labels ``(N, *spatial)`` uint8.

        Images are normalised, not augmented. Where a patch lies in its volume follows from ``key``.
        """

    def decode(self) -> None:
        """Make what training reads, which otherwise is made when it is first asked for."""

    def facts(self) -> dict[str, Any]:
        """What a record says about the data."""
