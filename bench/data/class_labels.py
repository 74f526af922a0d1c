"""What ``dataset.json`` calls the values in masks, and which values are whole numbers at all."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.patients import nfc
from bench.errors import UserError
from bench.files.checked import check_name

MOST_LABELS = 256
"""Masks are bytes."""
NEARLY = 1e-4
"""What a whole number may be off by: a header's scaling is a float, 255 times which is not quite 1."""
TAKEN = ("slice", "val", "val_last", "slice_val")
"""Names that ``dice_NAME`` has in the summary already."""


def named_labels(raw: Any, path: Path) -> dict[int, str]:
    """Names by label value: the Decathlon pairs them as ``"1": name``, nnU-Net as ``name: 1``.

    Raises:
        UserError: no such pairs, a value or name twice, no background, regions of several values.
    """
    labels: dict[int, str] = {}
    for key, value in raw.items() if isinstance(raw, dict) else [("labels", raw)]:
        if isinstance(raw, dict) and isinstance(value, list):
            raise UserError(
                f"{path}: labels make {key!r} a region of the values {reprlib.repr(value)}; nnU-Net's "
                "regions are not supported, give every value a class of its own"
            )
        number, name = (key, value) if key.isdecimal() and isinstance(value, str) else (value, key)
        if isinstance(number, str) and number.isdecimal() and len(number) < 9:
            number = int(number)
        if not isinstance(name, str) or not isinstance(number, int) or isinstance(number, bool):
            raise UserError(
                f"{path}: labels must pair each name with one whole number, not {reprlib.repr(raw)}"
            )
        name = nfc(name)
        if number in labels or name in labels.values():
            raise UserError(f"{path}: labels name {name!r} or {number} twice")
        labels[number] = check_name(name, path)
    if 0 not in labels or len(labels) < 2:
        raise UserError(f"{path}: labels must name 0, the background, and at least one class")
    folded = {name.casefold(): number for number, name in labels.items()}
    if folded.get("background", 0) != 0:
        raise UserError(f"{path}: labels call 0 {labels[0]!r}; 0 must be the background")
    if min(labels) < 0 or len(labels) > MOST_LABELS:
        raise UserError(f"{path}: labels must number {MOST_LABELS} values at most, from 0 upwards")
    if "ignore" in folded:
        raise UserError(f"{path}: an 'ignore' label is not supported; every voxel needs its class")
    for name in labels.values():
        if name in TAKEN or name.removesuffix("_val") in {*labels.values()} - {name}:
            raise UserError(f"{path}: a class can't be called {name!r}: dice_{name} is a column already")
    return labels


def whole_numbers(values: NDArray[Any], path: Path) -> NDArray[np.integer]:
    """The values of a mask as whole numbers, which they must be but for rounding.

    Raises:
        UserError: one that is not; it is shown with its digits.
    """
    if values.dtype.kind != "f":
        return values
    rounded = np.rint(values)
    odd = values[~((np.abs(values - rounded) <= NEARLY) & (np.abs(rounded) < 2**31))]
    if odd.size:
        raise UserError(
            f"{path}: label {odd.flat[0]} is no whole number; labels number the classes, so save them as "
            "integers, resampled by nearest neighbour, without scaling"
        )
    return rounded.astype(np.int32)
