"""Volumes as networks see them: on one voxel grid, normalised, cut into patches.

All volumes are resampled to the median spacing of the training volumes (not at all where they agree).
Networks see patches of ``image_size`` voxels a side, and no more than the largest training volume has,
rounded up to a multiple of 16: small volumes are seen whole, padded; large ones in patches. An epoch
has as many patches as hold the voxels of all training volumes' axial slices, each padded like a patch:
as many voxels as a 2-D network would see of the same volumes. A patch lies anywhere in its volume with the
same probability.

With ``slices="axial"`` 2-D networks see the very same voxels: patches are one axial slice thick, samples
are the slices of all training volumes, and predicted slices are stacked back to volumes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.dataset import Dataset
from bench.data.prepared import Scored
from bench.data.splits import Split, usable_unlabelled
from bench.data.voxels import ChannelOfCT, grid_of, mean_and_std, normalised, resample, resample_labels
from bench.errors import UserError
from bench.protocol import BATCH_SIZE

GRID = 16
"""Sides of padded volumes are multiples of this: four poolings."""
WINDOW_PERCENTILES = (0.5, 99.5)
"""A CT dataset without a window of its own gets these of its labelled training voxels (nnU-Net's rule)."""


@dataclass(frozen=True)
class Volume:
    """A volume on the common grid.

    ``image`` ``(C, x, y, z)`` in its own units, ``labels`` ``(x, y, z)``, ``mean`` and ``std`` ``(C,)``
    to normalise by.
    """

    image: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class PreparedVolumes:
    """Training patches, validation and test volumes of one study.

    The test part is a property that nothing touches under ``--no-test``.
    """

    dataset: Dataset
    split: Split
    image_size: int
    slices: str = ""

    @property
    def spatial_dims(self) -> int:
        """Of what networks see."""
        return len(self.patch)

    @cached_property
    def _train_cases(self) -> list[int]:
        return self.split.indices(self.dataset, "train")

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres between voxels on the common grid: per axis the median of the training volumes."""
        steps = np.median([self.dataset.spacing[k] for k in self._train_cases], axis=0)
        return tuple(float(step) for step in steps)

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """The longest side of a training volume along each axis, rounded up to a multiple of 16."""
        longest = np.max([self._grid(k) for k in self._train_cases], axis=0)
        return tuple(math.ceil(side / GRID) * GRID for side in longest)

    @cached_property
    def patch(self) -> tuple[int, ...]:
        """Sides of what networks see; of slices two.

        Raises:
            UserError: an image size that no volume fills.
        """
        if self.image_size > max(self.largest):
            native = "x".join(
                str(side) for side in np.max([self._grid(k) for k in self._train_cases], axis=0)
            )
            raise UserError(
                f"--image-size {self.image_size}: such a patch is larger than every volume of "
                f"{self.dataset.name} (at most {native} voxels); {max(self.largest)} holds them whole"
            )
        sides = self.largest[:2] if self.slices else self.largest
        return tuple(min(self.image_size, side) for side in sides)

    @property
    def usual_size(self) -> int:
        """No patch that no volume fills."""
        return min(self.image_size, max(self.largest))

    @cached_property
    def samples(self) -> int:
        """Patches that make an epoch, a multiple of the batch."""
        grids = [self._grid(k) for k in self._train_cases]
        x, y = self.patch[:2]
        voxels = sum(max(a, x) * max(b, y) * slices for a, b, slices in grids)
        return BATCH_SIZE * max(1, round(voxels / math.prod(self.patch) / BATCH_SIZE))

    @cached_property
    def sample_patients(self) -> tuple[str, ...]:
        """The patient of each training volume, or of each of their slices."""
        owners = [
            (self.dataset.patients[k], self._grid(k)[-1] if self.slices else 1) for k in self._train_cases
        ]
        return tuple(patient for patient, count in owners for _ in range(count))

    @cached_property
    def _unlabelled(self) -> list[int]:
        return usable_unlabelled(self.dataset, self.split)

    @cached_property
    def unlabelled_patients(self) -> tuple[str, ...]:
        """The patient of each volume without labels, or of each of their slices; none that is scored."""
        owners = [
            (self.dataset.unlabelled.patients[k], self._grid_without_labels(k)[-1] if self.slices else 1)
            for k in self._unlabelled
        ]
        return tuple(patient for patient, count in owners for _ in range(count))

    def take(self, rows: Sequence[int], key: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """A patch of each of ``rows``: ``(N, C, *patch)`` float32, and labels ``(N, *patch)`` uint8."""
        places = np.random.default_rng([*key, 1]).random((len(rows), 3))
        cut = [self._cut(*self._deck[row], place) for row, place in zip(rows, places, strict=True)]
        return torch.stack([image for image, _ in cut]), torch.stack([labels for _, labels in cut])

    def decode(self) -> None:
        """Make what training reads, which otherwise is made when it is first asked for."""
        _ = self.train, self.val

    @cached_property
    def train(self) -> list[Volume]:
        """The training volumes on the common grid."""
        return [self._volume(k) for k in self._train_cases]

    @cached_property
    def _deck(self) -> list[tuple[Volume, int | None]]:
        """What samples are dealt from: volumes or each of their slices, those without labels last."""
        every = [*self.train, *map(self._without_labels, self._unlabelled)]
        if not self.slices:
            return [(volume, None) for volume in every]
        return [(volume, z) for volume in every for z in range(volume.labels.shape[-1])]

    @cached_property
    def val(self) -> Scored:
        """Validation volumes."""
        return self._scored("val")

    @cached_property
    def test(self) -> Scored:
        """Test volumes; reading this is the one reading of the test set."""
        return self._scored("test")

    @cached_property
    def ct(self) -> list[ChannelOfCT | None]:
        """For each channel of a CT: window, mean and standard deviation; None: normalised per volume.

        Mean and deviation are those of all training voxels, clipped to the window.
        """
        rows: list[ChannelOfCT | None] = []
        for channel, modality in enumerate(self.dataset.modalities):
            if modality.upper() != "CT":
                rows.append(None)
                continue
            low, high = self.dataset.window or self._foreground_window(channel)
            count = total = squares = 0.0
            for k in self._train_cases:
                values = self._image(k)[channel].double().clamp(low, high)
                count += values.numel()
                total += float(values.sum())
                squares += float((values**2).sum())
            mean = total / count
            rows.append((low, high, mean, math.sqrt(max(squares / count - mean**2, 1e-12))))
        return rows

    def facts(self) -> dict[str, Any]:
        """What a record says about the data: how it was normalised and what networks saw of it."""
        return {
            "normalisation": [
                "per volume" if row is None else dict(zip(("low", "high", "mean", "std"), row, strict=True))
                for row in self.ct
            ],
            "spacing_mm": self.spacing,
            "patch": self.patch,
            "volume": [int(side) for side in np.median([self._grid(k) for k in self._train_cases], axis=0)],
            "samples_per_epoch": self.samples,
            **self.dataset.facts(),
        }

    def _foreground_window(self, channel: int) -> tuple[float, float]:
        inside = [self.dataset.images[k][channel][self.dataset.masks[k] > 0] for k in self._train_cases]
        values = np.concatenate(inside)
        if not values.size:
            raise UserError(f"dataset {self.dataset.name}: no training volume has a labelled voxel")
        low, high = np.percentile(values, WINDOW_PERCENTILES)
        return float(low), float(high)

    def _grid(self, k: int) -> tuple[int, ...]:
        """The sides of a volume on the common grid."""
        return grid_of(self.dataset.masks[k].shape, self.dataset.spacing[k], self.spacing)

    def _grid_without_labels(self, k: int) -> tuple[int, ...]:
        own = self.dataset.unlabelled
        return grid_of(own.images[k].shape[1:], own.spacing[k], self.spacing)

    def _image(self, k: int) -> Tensor:
        return resample(torch.from_numpy(self.dataset.images[k]), self._grid(k))

    def _without_labels(self, k: int) -> Volume:
        grid = self._grid_without_labels(k)
        image = resample(torch.from_numpy(self.dataset.unlabelled.images[k]), grid)
        return Volume(image, torch.zeros(grid, dtype=torch.uint8), *mean_and_std(image, self.ct))

    def _volume(self, k: int) -> Volume:
        image = self._image(k)
        labels = resample_labels(
            torch.from_numpy(self.dataset.masks[k]), self._grid(k), len(self.dataset.classes)
        )
        return Volume(image, labels, *mean_and_std(image, self.ct))

    def _normalised(self, image: Tensor, volume: Volume) -> Tensor:
        """Some voxels ``(C, ...)`` of a volume."""
        return normalised(image, self.ct, volume.mean, volume.std)

    def _cut(self, volume: Volume, z: int | None, place: np.ndarray) -> tuple[Tensor, Tensor]:
        """A patch, of slice ``z`` where there is one, padded by zeros.

        ``place`` in [0, 1) says where its lower corner lies in what room there is.
        """
        image, labels = volume.image, volume.labels
        if z is not None:
            image, labels = image[..., z], labels[..., z]
        where: list[slice] = []
        pad: list[int] = []
        for side, patch, at in zip(labels.shape, self.patch, place[: labels.ndim], strict=True):
            start = int(at * (max(side - patch, 0) + 1))
            where.append(slice(start, start + patch))
            short = max(patch - side, 0)
            pad = [short // 2, short - short // 2, *pad]
        image = self._normalised(image[(slice(None), *where)], volume)
        return F.pad(image, pad), F.pad(labels[tuple(where)], pad)

    def _scored(self, part: str) -> Scored:
        indices = self.split.indices(self.dataset, part)
        images = []
        for k in indices:
            volume = self._volume(k)
            images.append(self._normalised(volume.image, volume))
        return Scored(
            cases=tuple(self.dataset.cases[k] for k in indices),
            patients=tuple(self.dataset.patients[k] for k in indices),
            images=images,
            masks=[self.dataset.masks[k] for k in indices],
            spacing=tuple(self.dataset.spacing[k] for k in indices),
            patch=self.patch,
        )
