"""2-D images at the size that networks see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.data.dataset import Dataset
from bench.data.prepared import Normalisation, Scored
from bench.data.splits import Split, usable_unlabelled


@dataclass(frozen=True)
class PreparedImages:
    """Tensors of one study: training at network size, validation and test against native masks.

    The test part is a property that nothing touches under ``--no-test``.
    """

    dataset: Dataset
    split: Split
    image_size: int
    patch: ClassVar[tuple[int, ...]] = ()
    """Images are seen whole."""
    largest: ClassVar[tuple[int, ...]] = ()
    """They are resized, to whatever side is asked for."""

    @property
    def spatial_dims(self) -> int:
        """Of what networks see."""
        return self.dataset.spatial_dims

    @property
    def usual_size(self) -> int:
        """Any side will do."""
        return self.image_size

    @property
    def samples(self) -> int:
        """Training images that make an epoch: all of them."""
        return len(self.split.train)

    @cached_property
    def sample_patients(self) -> tuple[str, ...]:
        """The patient of each training image."""
        return tuple(self.dataset.patients[k] for k in self.split.indices(self.dataset, "train"))

    @cached_property
    def _unlabelled(self) -> list[int]:
        return usable_unlabelled(self.dataset, self.split)

    @cached_property
    def unlabelled_patients(self) -> tuple[str, ...]:
        """The patient of each image without a mask; none that is validated or tested on."""
        return tuple(self.dataset.unlabelled.patients[k] for k in self._unlabelled)

    def take(self, rows: Sequence[int], key: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Training images ``(N, C, *spatial)`` and labels ``(N, *spatial)`` by number.

        Images without masks are numbered after the others; their labels are 0.
        """
        count = self.samples
        if max(rows, default=0) < count:
            chosen = torch.tensor(rows)
            return self.train_images[chosen], self.train_labels[chosen]
        nothing = torch.zeros_like(self.train_labels[0])
        images = [self.train_images[k] if k < count else self.unlabelled_images[k - count] for k in rows]
        return torch.stack(images), torch.stack(
            [self.train_labels[k] if k < count else nothing for k in rows]
        )

    def decode(self) -> None:
        """Make what training reads, which otherwise is made when it is first asked for."""
        _ = self.train_images, self.train_labels, self.val

    def facts(self) -> dict[str, Any]:
        """What a record says about the data."""
        facts: dict[str, Any] = {"mean": self.normalisation.mean, "std": self.normalisation.std}
        if self.dataset.window is not None:
            facts["window"] = self.dataset.window
        if self.dataset.spacing:
            steps = [self.dataset.spacing[k] for k in self.split.indices(self.dataset, "train")]
            facts["spacing_mm"] = np.median(steps, axis=0).tolist()
        return facts | self.dataset.facts()

    @cached_property
    def _train_raw(self) -> Tensor:
        return self._resized("train")

    @cached_property
    def normalisation(self) -> Normalisation:
        """Of the training images at network size."""
        axes = [0, *range(2, self._train_raw.ndim)]
        raw = self._train_raw.double()
        std = raw.std(dim=axes, correction=0).clamp(min=1e-6)
        return Normalisation(tuple(raw.mean(dim=axes).tolist()), tuple(std.tolist()))

    @cached_property
    def train_images(self) -> Tensor:
        """``(N, C, *spatial)`` float32, normalised."""
        return self.normalisation(self._train_raw)

    @cached_property
    def unlabelled_images(self) -> Tensor:
        """Those without masks, as ``train_images``."""
        images = [torch.tensor(self.dataset.unlabelled.images[k]) for k in self._unlabelled]
        return self.normalisation(
            torch.cat([resize_image(self._clipped(x), self.image_size) for x in images])
        )

    @cached_property
    def train_labels(self) -> Tensor:
        """``(N, *spatial)`` uint8, class indices at network size."""
        indices = self.split.indices(self.dataset, "train")
        return torch.stack(
            [
                resize_labels(
                    torch.from_numpy(self.dataset.masks[k]),
                    self.image_size,
                    len(self.dataset.classes),
                )
                for k in indices
            ]
        )

    @cached_property
    def val(self) -> Scored:
        """Validation cases."""
        return self._scored("val")

    @cached_property
    def test(self) -> Scored:
        """Test cases; reading this is the one reading of the test set."""
        return self._scored("test")

    def _resized(self, part: str) -> Tensor:
        indices = self.split.indices(self.dataset, part)
        return torch.cat([resize_image(self._windowed(k), self.image_size) for k in indices])

    def _windowed(self, index: int) -> Tensor:
        return self._clipped(torch.tensor(self.dataset.images[index]))  # a copy: they may be read-only

    def _clipped(self, image: Tensor) -> Tensor:
        return image if self.dataset.window is None else image.clamp(*self.dataset.window)

    def _scored(self, part: str) -> Scored:
        indices = self.split.indices(self.dataset, part)
        return Scored(
            cases=tuple(self.dataset.cases[k] for k in indices),
            patients=tuple(self.dataset.patients[k] for k in indices),
            images=self.normalisation(self._resized(part)),
            masks=[self.dataset.masks[k] for k in indices],
            spacing=tuple(self.dataset.spacing[k] for k in indices) if self.dataset.spacing else (),
        )


def resize_image(image: Tensor, size: int) -> Tensor:
    """``(C, H, W)`` to ``(1, C, size, size)`` float32, bilinear with antialiasing."""
    return F.interpolate(
        image[None].float(), (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def resize_labels(mask: Tensor, size: int, classes: int) -> Tensor:
    """``(H, W)`` class indices to ``(size, size)``: the class that covers most of each pixel."""
    if tuple(mask.shape) == (size, size):
        return mask
    one_hot = torch.stack([(mask == c).float() for c in range(classes + 1)])
    return resize_image(one_hot, size)[0].argmax(dim=0).to(torch.uint8)
