"""A teacher's maps as samples: resized, cut and augmented like the images, by the same code."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from bench.data.dataset import Dataset
from bench.data.prepared import Normalisation, Prepared
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes, Volume
from bench.data.splits import Split, usable_unlabelled
from bench.data.teacher_maps import Maps, as_dataset, find_maps
from bench.data.voxels import ChannelOfCT

CERTAIN = 1e-4
"""Probabilities are kept this far from 0 and 1; maps in half precision can't tell much more."""


class ImagesOfMaps(PreparedImages):
    """Maps in the place of 2-D images."""

    @property
    def normalisation(self) -> Normalisation:
        """None: they are probabilities."""
        return Normalisation((0.0,), (1.0,))


class VolumesOfMaps(PreparedVolumes):
    """Maps in the place of volumes; where a patch is padded there is nothing but background."""

    @cached_property
    def ct(self) -> list[ChannelOfCT | None]:
        """No channel is a CT's."""
        return [None] * len(self.dataset.classes)

    def _normalised(self, image: Tensor, volume: Volume) -> Tensor:
        return image.float()


def needed_cases(dataset: Dataset, split: Split) -> list[str]:
    """The cases whose maps are learned from: of training, and those without masks."""
    return [*split.train, *(dataset.unlabelled.cases[k] for k in usable_unlabelled(dataset, split))]


def maps_of(folder: Path, prepared: Prepared) -> Maps:
    """The maps that the folder holds for a study's split."""
    return find_maps(folder, prepared.dataset, needed_cases(prepared.dataset, prepared.split))


def prepared_maps(maps: Maps, prepared: Prepared) -> Prepared:
    """What gives the maps of the samples that ``prepared`` gives the images of."""
    dataset = as_dataset(maps, prepared.dataset)
    if isinstance(prepared, PreparedVolumes):
        return VolumesOfMaps(dataset, prepared.split, prepared.image_size, prepared.slices)
    return ImagesOfMaps(dataset, prepared.split, prepared.image_size)


def logits_of(maps: Tensor) -> Tensor:
    """Probabilities ``(N, classes, *spatial)``, the background's left out, to a network's logits."""
    background = 1 - maps.sum(dim=1, keepdim=True)
    if maps.shape[1] == 1:
        return torch.logit(maps, CERTAIN)
    return torch.cat([background, maps], dim=1).clamp(CERTAIN, 1).log()
