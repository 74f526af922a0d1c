"""Whether what a plug-in's function gives is a dataset.

The package's own readers check the files that they read. Of arrays that somebody else's code made, a
mistake would show as an error deep in training, or never: two cases of one name, a value that is no number,
a mask of another size. All pixels are looked at, which takes less time than the hash that names them.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.data.dataset import Dataset, Unlabelled
from bench.errors import UserError
from bench.files.checked import name_fault


def check_dataset(name: str, dataset: Any) -> Dataset:
    """What is registered as ``name``, if all of it fits together.

    Raises:
        UserError: names the dataset and the case, what was found and what would be right.
    """
    where = f"dataset {name}"
    if not isinstance(dataset, Dataset):
        raise UserError(f"{where}: its function gives {type(dataset).__name__}; must give a Dataset")
    if dataset.name != name:
        raise UserError(f"{where}: calls itself {dataset.name!r}; must be {name!r}, as it is registered")
    if not dataset.cases:
        raise UserError(f"{where}: has no case; must have one at least")
    if not dataset.classes or isinstance(dataset.classes, str):
        raise UserError(f"{where}: classes is {dataset.classes!r}; must hold the name of each class")
    if not isinstance(dataset.fingerprint, str) or not dataset.fingerprint:
        raise UserError(f"{where}: has no fingerprint; see bench.data.dataset.fingerprint")
    _check_names(where, "class", dataset.classes)
    if len(dataset.masks) != len(dataset.cases):
        raise UserError(
            f"{where}: has {len(dataset.cases)} cases and {len(dataset.masks)} masks; must be as many"
        )
    for case, mask in zip(dataset.cases, dataset.masks, strict=True):
        _check_mask(f"{where}: case {case!r}", mask, len(dataset.classes))
    spatial_dims, channels = dataset.masks[0].ndim, _channels(where, dataset)
    _check_cases(where, dataset, channels, spatial_dims)
    _check_cases(f"{where}, unlabelled", dataset.unlabelled, channels, spatial_dims)
    _check_names(where, "case", (*dataset.cases, *dataset.unlabelled.cases))
    for case, image, mask in zip(dataset.cases, dataset.images, dataset.masks, strict=True):
        if image.shape[1:] != mask.shape:
            raise UserError(
                f"{where}: case {case!r}: its mask is {_sides(mask.shape)}, its image "
                f"{_sides(image.shape[1:])}; they must have the same size"
            )
    if spatial_dims == 3 and len(dataset.modalities) != channels:
        raise UserError(
            f"{where}: modalities is {dataset.modalities!r}; volumes need one of each of their {channels} "
            'channels: "CT", or another name'
        )
    return dataset


def _channels(where: str, dataset: Dataset) -> int:
    """Those of the first image, which all others must have."""
    first = dataset.images[0] if len(dataset.images) else None
    if not isinstance(first, np.ndarray) or first.ndim != dataset.masks[0].ndim + 1:
        found = type(first).__name__ if not isinstance(first, np.ndarray) else _sides(first.shape)
        raise UserError(
            f"{where}: case {dataset.cases[0]!r}: its image is {found}, its mask "
            f"{_sides(dataset.masks[0].shape)}; must be an array (channels, *sides of the mask)"
        )
    return len(first)


def _check_cases(where: str, part: Dataset | Unlabelled, channels: int, spatial_dims: int) -> None:
    """Of cases with or without masks: as many of everything, and each image and spacing as it should be."""
    count = len(part.cases)
    for what, found in (("patients", part.patients), ("images", part.images)):
        if len(found) != count:
            raise UserError(f"{where}: has {count} cases and {len(found)} {what}; must be as many")
    for case, patient in zip(part.cases, part.patients, strict=True):
        fault = "it is no text" if not isinstance(patient, str) else name_fault(patient)
        if fault:
            shown = reprlib.repr(patient)
            raise UserError(f"{where}: case {case!r}: its patient can't be {shown}: {fault}")
    for case, image in zip(part.cases, part.images, strict=True):
        _check_image(f"{where}: case {case!r}", image, channels, spatial_dims)
    if len(part.spacing) != count and (part.spacing or spatial_dims == 3):
        raise UserError(
            f"{where}: has {count} cases and the spacing of {len(part.spacing)}; must have millimetres "
            "along each axis of each case"
        )
    for case, own in zip(part.cases, part.spacing, strict=False):
        if len(own) != spatial_dims or not all(math.isfinite(step) and step > 0 for step in own):
            raise UserError(
                f"{where}: case {case!r}: its spacing is {own!r}; must be {spatial_dims} lengths in mm"
            )


def _check_names(where: str, what: str, names: Sequence[Any]) -> None:
    """Names of cases or classes: text that can be shown, each there once."""
    seen = set()
    for name in names:
        fault = "it is no text" if not isinstance(name, str) else name_fault(name)
        if fault or name in seen:
            raise UserError(
                f"{where}: a {what} can't be named {reprlib.repr(name)}: {fault or 'another one is'}"
            )
        seen.add(name)


def _check_mask(where: str, mask: Any, classes: int) -> None:
    if not isinstance(mask, np.ndarray) or mask.ndim not in (2, 3) or not mask.size:
        found = _sides(mask.shape) if isinstance(mask, np.ndarray) else type(mask).__name__
        raise UserError(f"{where}: its mask is {found}; must be an array of two or three axes")
    if mask.dtype.kind not in "iu":
        raise UserError(f"{where}: its mask is of {mask.dtype}; must be of whole numbers, uint8")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > classes:
        raise UserError(
            f"{where}: its mask holds {low if low < 0 else high}; must be 0, the background, to {classes}, "
            "the number of classes"
        )


def _check_image(where: str, image: Any, channels: int, spatial_dims: int) -> None:
    if not isinstance(image, np.ndarray) or image.ndim != spatial_dims + 1 or len(image) != channels:
        found = _sides(image.shape) if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(
            f"{where}: its image is {found}; must be an array of {channels} channels and then "
            f"{spatial_dims} sides, as the other cases have it"
        )
    if image.dtype.kind not in "iuf":
        raise UserError(f"{where}: its image is of {image.dtype}; must be of numbers")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise UserError(f"{where}: its image holds NaN or infinity; must be finite numbers")


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
