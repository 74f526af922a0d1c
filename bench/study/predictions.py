"""The masks that jobs predicted, packed into one file a job."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from bench.files.checked import set_aside
from bench.study.store import Study

Labels = NDArray[np.uint8]


def pack_masks(masks: Sequence[Labels], cases: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Masks to arrays for ``numpy.savez``: bits where there is one class, bytes where several."""
    arrays: dict[str, NDArray[np.generic]] = {"cases": np.array(cases)}
    for case, mask in zip(cases, masks, strict=True):
        binary = int(mask.max(initial=0)) <= 1
        arrays[f"shape/{case}"] = np.array(mask.shape)
        arrays[f"{'bits' if binary else 'bytes'}/{case}"] = (
            np.packbits(mask.astype(bool)) if binary else mask
        )
    return arrays


def read_predictions(study: Study, job_id: str) -> dict[str, Labels] | None:
    """The masks that a job predicted, by case; None where they are absent, or damaged and set aside."""
    if not study.intact("predictions", job_id):
        return None
    path = study.path("predictions", job_id)
    try:
        return read_masks(path)
    except UserError as error:
        set_aside(path, error)
        return None


def unpack_masks(arrays: Any) -> dict[str, Labels]:
    """The inverse of ``pack_masks``: masks by case.

    Raises:
        KeyError, ValueError, TypeError: arrays that ``pack_masks`` doesn't make.
    """
    masks: dict[str, Labels] = {}
    for case in arrays["cases"].tolist():
        shape = tuple(int(side) for side in arrays[f"shape/{case}"])
        size = math.prod(shape)
        packed = f"bits/{case}" in arrays
        stored = arrays[f"{'bits' if packed else 'bytes'}/{case}"]
        if stored.dtype != np.uint8 or stored.size != (math.ceil(size / 8) if packed else size):
            raise ValueError(f"{case} has {stored.size} values of {stored.dtype} for {shape}")
        masks[case] = (np.unpackbits(stored, count=size) if packed else stored).reshape(shape)
    return masks


def read_masks(path: Path) -> dict[str, Labels]:
    """The masks of a file of predictions, by case.

    Raises:
        UserError: not such a file, or a damaged one.
    """
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            path.open("rb") as handle,
            np.load(handle, allow_pickle=False) as arrays,
        ):
            return unpack_masks(arrays)
    except Exception as error:  # what a reader makes of damaged bytes may be any
        raise UserError(f"{path}: not a file of predictions, or damaged ({error}); remove it") from None


def largest_slice(mask: Labels) -> int:
    """Of a volume the axial slice that holds the most; the middle one where none holds anything."""
    sizes = [int(np.count_nonzero(mask[..., z])) for z in range(mask.shape[-1])]
    return int(np.argmax(sizes)) if any(sizes) else mask.shape[-1] // 2
