"""How loops that are compared with load their samples: a ``DataLoader``, augmentation per sample."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from bench.protocol import BATCH_SIZE


class AugmentedSlices(Dataset):
    """Images ``(N, C, H, W)`` with labels ``(N, H, W)``: flipped with p = ½ an axis, cropped with p = ½."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One sample."""
        image, label = self.images[index], self.labels[index]
        for axis in (-2, -1):
            if random.random() < 0.5:
                image, label = image.flip(axis), label.flip(axis)
        if random.random() < 0.5:
            side = image.shape[-1]
            crop = round(side * random.uniform(0.75, 1.0))
            top, left = random.randint(0, side - crop), random.randint(0, side - crop)
            image = image[:, top : top + crop, left : left + crop]
            label = label[top : top + crop, left : left + crop]
            image = F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]
            label = F.interpolate(label[None, None], (side, side), mode="nearest")[0, 0]
        return image, label


def loader(images: Tensor, labels: Tensor, device: torch.device) -> DataLoader:
    """Shuffled batches ``(x, y)`` of an epoch, made by one worker process."""
    return DataLoader(
        AugmentedSlices(images, labels),
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        num_workers=1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
