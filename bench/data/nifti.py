"""One NIfTI file to one array in canonical orientation (RAS+: right, front, head), checked."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError

MOST_VOXELS = 2**31
"""Of a file; more would be a damaged header, or a trap."""
SPACING = (1e-5, 1e4)
Image = Any
"""A ``nibabel.Nifti1Image``; its voxels are read when they are asked for."""


def open_image(path: Path, channels: int = 1) -> Image:
    """The file's header, checked: 3-D (4-D with ``channels`` last where there are several), with an affine.

    Raises:
        UserError: missing, unreadable, of other dimensions, or without a usable affine.
    """
    import nibabel as nib

    try:
        with _quiet():
            image = nib.load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; dataset.json lists it") from None
    except Exception as error:  # what a parser makes of damaged bytes may be any
        raise UserError(f"{path}: not a readable NIfTI file ({_line(error)})") from None
    if not isinstance(image, nib.Nifti1Pair):
        raise UserError(f"{path}: must be a NIfTI file, not {type(image).__name__}")
    wanted = image.shape[:3] if channels == 1 else (*image.shape[:3], channels)
    if len(image.shape) < 3 or image.shape != wanted:
        several = f" with {channels} channels last" if channels > 1 else ""
        raise UserError(
            f"{path}: is {len(image.shape)}-D ({_sides(image.shape)}); dataset.json means "
            f"{3 if channels == 1 else 4}-D volumes{several}"
        )
    if math.prod(image.shape) > MOST_VOXELS or min(image.shape) < 1:
        raise UserError(f"{path}: says to hold {_sides(image.shape)} voxels; must be 1 to {MOST_VOXELS:,}")
    header = image.header
    if not header["sform_code"] and not header["qform_code"]:
        raise UserError(
            f"{path}: has no affine (sform_code and qform_code are 0), so spacing and orientation are "
            "unknown; set one of them"
        )
    spacing, directions = _geometry(image)
    flat = abs(np.linalg.det(directions)) < 1e-3 if np.isfinite(directions).all() else True
    if flat or not ((spacing > SPACING[0]) & (spacing < SPACING[1])).all():
        raise UserError(
            f"{path}: its affine is degenerate (voxels of {_sides(spacing)} mm); its three axes "
            f"must have lengths, {SPACING[0]:g} to {SPACING[1]:g} mm, and point three ways"
        )
    return image


def check_pair(image: Image, label: Image) -> None:
    """Raise a ``UserError`` unless shape, spacing and orientation of both files agree."""
    import nibabel as nib

    where, other = Path(label.get_filename()), Path(image.get_filename()).name
    if label.shape[:3] != image.shape[:3]:
        raise UserError(
            f"{where}: label is {_sides(label.shape[:3])} voxels, its image {other} "
            f"{_sides(image.shape[:3])}; they must have the same shape"
        )
    (ours, turned), (theirs, straight) = _geometry(label), _geometry(image)
    if not np.allclose(ours, theirs, rtol=1e-3):
        raise UserError(
            f"{where}: label has a spacing of {_sides(ours)} mm, its image {other} {_sides(theirs)} mm; "
            "they must have the same spacing"
        )
    if not np.allclose(turned, straight, atol=1e-2):
        names = ["".join(nib.aff2axcodes(one.affine)) for one in (label, image)]
        raise UserError(
            f"{where}: label is oriented {names[0]}, its image {other} {names[1]}"
            + (" but turned" if names[0] == names[1] else "")
            + "; they must have the same orientation"
        )


def canonical_spacing(image: Image) -> tuple[float, float, float]:
    """Millimetres between voxels along the axes of ``canonical_array``."""
    import nibabel as nib

    order = nib.io_orientation(image.affine)[:, 0].argsort()
    x, y, z = _geometry(image)[0][order].round(6).tolist()
    return x, y, z


def canonical_array(image: Image) -> NDArray[np.generic]:
    """The voxels ``(x, y, z)``, or ``(x, y, z, channels)``, with the header's scaling applied.

    Raises:
        UserError: the file ends early or holds something else than real numbers.
    """
    import nibabel as nib

    path = image.get_filename()
    try:
        with _quiet():
            data = np.asanyarray(image.dataobj)
    except Exception as error:  # as above
        raise UserError(f"{path}: damaged, its voxels can't be read to the end ({_line(error)})") from None
    if data.dtype.kind not in "iufb":
        raise UserError(f"{path}: holds {data.dtype} voxels; images and labels hold real numbers")
    if data.dtype.kind == "f":
        largest = min(np.finfo(data.dtype).max, np.finfo(np.float32).max)
        bad = int(np.count_nonzero(~(np.abs(data) <= largest)))
        if bad:
            raise UserError(f"{path}: {bad} of {data.size} voxels are NaN or infinite; all must be finite")
    return nib.apply_orientation(data, nib.io_orientation(image.affine))


def intensities(data: NDArray[np.generic]) -> NDArray[np.generic]:
    """In the smallest type that torch computes with: uint8, int16 or float32."""
    if data.dtype != np.uint8:
        data = data.astype(np.int16 if np.can_cast(data.dtype, np.int16) else np.float32)
    return np.ascontiguousarray(data)


def class_indices(data: NDArray[np.generic], path: Path, labels: Mapping[int, str]) -> NDArray[np.uint8]:
    """Label values to 0 (background) and the classes in the order of their values.

    Raises:
        UserError: a value that is no whole number, or that dataset.json doesn't declare.
    """
    declared = sorted(labels)
    indices = np.zeros(data.shape, np.uint8)
    for value in np.unique(data).tolist():
        if value != round(value):
            raise UserError(f"{path}: label {value:g} is no whole number; labels number the classes")
        if value not in labels:
            known = ", ".join(f"{number} {labels[number]}" for number in declared)
            raise UserError(f"{path}: undeclared label {value:g}; dataset.json declares {known}")
        indices[data == value] = declared.index(int(value))
    return indices


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without nibabel's and numpy's own remarks on what is checked here."""
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _geometry(image: Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths (mm) and directions (columns) of the three voxel axes."""
    axes = np.asarray(image.affine, dtype=float)[:3, :3]
    with np.errstate(all="ignore"):
        lengths = np.sqrt((axes**2).sum(axis=0))
        return lengths, axes / lengths


def _sides(sides: Any) -> str:
    return "x".join(f"{side:g}" for side in sides)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
