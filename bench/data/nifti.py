"""One NIfTI file to one array in canonical orientation (RAS+: right, front, head), checked."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data import nifti_affine
from bench.data.class_labels import whole_numbers
from bench.data.nifti_affine import Affine, sides, spacing_of
from bench.errors import UserError

MOST_VOXELS = 2**31
"""Of a file; more would be a damaged header, or a trap."""
EXACT = 2**24
"""Whole numbers up to here are told apart in float32."""
GZIP = b"\x1f\x8b"
HEADER_SIZES = (348, 540)
"""With which NIfTI-1 and NIfTI-2 begin."""


@dataclass(frozen=True)
class Opened:
    """A file whose header is read and checked; its voxels are read when they are asked for.

    ``image``: a ``nibabel.Nifti1Image``. ``shape``: of three axes, and a fourth of channels where there are
    several. ``affine``: voxel indices to millimetres. ``odd``: what to say of it, without its name.
    """

    path: Path
    image: Any
    shape: tuple[int, ...]
    affine: Affine
    odd: tuple[str, ...]


def open_image(
    path: Path, channels: int | None = 1, preferred: str = "", whose: str = "dataset.json means"
) -> Opened:
    """The file's header, checked: 3-D (4-D with ``channels`` last where there are several), with an affine.

    Axes of one voxel after the third say nothing: ``(x, y, z, 1)`` is ``(x, y, z)``.

    Args:
        channels: None: any number of them.
        preferred: ``sform`` or ``qform``, which counts where they differ (``--affine``).
        whose: how an error says who wants it so.

    Raises:
        UserError: missing, unreadable, of other dimensions, or without a usable affine.
    """
    import nibabel as nib

    _check_ending(path)
    try:
        with _quiet():
            image = nib.load(path)
    except Exception as error:  # what a parser makes of damaged bytes may be any
        raise UserError(f"{path}: not a readable NIfTI file ({error})") from None
    if not isinstance(image, nib.Nifti1Pair):
        raise UserError(f"{path}: must be a NIfTI file, not {type(image).__name__}")
    shape = (*image.shape[:3], *(side for side in image.shape[3:] if side != 1))
    if channels is None:
        channels = shape[3] if len(shape) == 4 else 1
    wanted = shape[:3] if channels == 1 else (*shape[:3], channels)
    if len(shape) < 3 or shape != wanted:
        several = f" with {channels} channels last" if channels > 1 else ""
        raise UserError(
            f"{path}: is {len(image.shape)}-D ({sides(image.shape)}); {whose} "
            f"{3 if channels == 1 else 4}-D volumes{several}"
        )
    if math.prod(shape) > MOST_VOXELS or min(shape) < 1:
        raise UserError(f"{path}: says to hold {sides(shape)} voxels; must be 1 to {MOST_VOXELS:,}")
    with _quiet():
        affine, odd = nifti_affine.affine_of(_stored_header(image), path, preferred)
    return Opened(path, image, shape, affine, tuple(odd))


def _stored_header(image: Any) -> Any:
    """The image's header with the voxel sizes that its file has: of a size of 0 nibabel makes 1 mm."""
    # Of a pair the header is a file of its own.
    holder = image.file_map.get("header", image.file_map["image"])
    with holder.get_prepare_fileobj(mode="rb") as file:
        stored = type(image.header).from_fileobj(file, check=False)
    header = image.header.copy()
    header["pixdim"][1:4] = np.where(stored["pixdim"][1:4] == 0, 0, header["pixdim"][1:4])
    return header


def _check_ending(path: Path) -> None:
    """Refuse a file that is packed and not named so, or the other way round.

    Raises:
        UserError: it is missing, or must be renamed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except FileNotFoundError:
        raise UserError(f"{path}: missing; dataset.json lists it") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    packed = path.name.casefold().endswith(".gz")
    if start.startswith(GZIP) and not packed:
        raise UserError(f"{path}: is packed by gzip; rename it to {path.name}.gz")
    plain = any(int.from_bytes(start, order) in HEADER_SIZES for order in ("little", "big"))
    if plain and packed:
        raise UserError(f"{path}: is not packed by gzip; rename it to {path.name[:-3]}")


def check_pair(image: Opened, label: Opened) -> None:
    """Raise a ``UserError`` unless shape, spacing, orientation and place of both files agree."""
    if label.shape[:3] != image.shape[:3]:
        raise UserError(
            f"{label.path}: label is {sides(label.shape[:3])} voxels, its image {image.path.name} "
            f"{sides(image.shape[:3])}; they must have the same shape"
        )
    nifti_affine.check_pair((image.path, image.affine), (label.path, label.affine), label.shape)


def canonical_spacing(opened: Opened) -> tuple[float, float, float]:
    """Millimetres between voxels along the axes of ``canonical_array``."""
    import nibabel as nib

    order = nib.io_orientation(opened.affine)[:, 0].argsort()
    x, y, z = spacing_of(opened.affine)[order].round(6).tolist()
    return x, y, z


def canonical_array(opened: Opened) -> NDArray[np.generic]:
    """The voxels ``(x, y, z)``, or ``(x, y, z, channels)``, with the header's scaling applied.

    Raises:
        UserError: the file ends early or holds something else than real numbers.
    """
    import nibabel as nib

    check_whole(opened)
    return nib.apply_orientation(read_voxels(opened), nib.io_orientation(opened.affine))


def check_whole(opened: Opened) -> None:
    """Read the file to its end, beyond the voxels: there lies the checksum of a packed one.

    Raises:
        UserError: damaged, or with voxels that its header doesn't speak of.
    """
    path, image = opened.path, opened.image
    if not (name := image.get_filename()):
        return
    said, size = stated_bytes(image), 0
    try:
        with (gzip.open if str(name).casefold().endswith(".gz") else open)(name, "rb") as file:
            while piece := file.read(2**22):
                size += len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged, it can't be read to the end ({error})") from None
    if size - said >= math.prod(image.shape[:2]) * image.get_data_dtype().itemsize:
        raise UserError(
            f"{path}: holds {size - said:,} bytes behind the {sides(image.shape)} voxels of "
            f"{image.get_data_dtype()} that its header speaks of; correct dim or datatype in the header"
        )


def stated_bytes(image: Any) -> int:
    """Up to where the voxels reach in the unpacked file, by its header."""
    return int(image.dataobj.offset) + math.prod(image.shape) * int(image.get_data_dtype().itemsize)


def read_voxels(opened: Opened, where: tuple[slice, ...] = ()) -> NDArray[np.generic]:
    """The voxels as they lie in the file, or those of ``where``, with the header's scaling applied.

    Raises:
        UserError: as ``canonical_array``.
    """
    path, stored = opened.path, opened.image
    at = (*(where or (slice(None),) * 3), *(0 if side == 1 else slice(None) for side in stored.shape[3:]))
    try:
        with _quiet():
            data = np.asanyarray(stored.dataobj[at])
    except Exception as error:  # as above
        raise UserError(f"{path}: damaged, its voxels can't be read to the end ({error})") from None
    if data.dtype.kind not in "iufb":
        raise UserError(f"{path}: holds {data.dtype} voxels; images and labels hold real numbers")
    if data.dtype.kind == "f":
        largest = min(np.finfo(data.dtype).max, np.finfo(np.float32).max)
        bad = int(np.count_nonzero(~(np.abs(data) <= largest)))
        if bad:
            raise UserError(f"{path}: {bad} of {data.size} voxels are NaN or infinite; all must be finite")
    return data


def intensities(data: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """In the smallest type that torch computes with: uint8, int16 or float32.

    Raises:
        UserError: whole numbers so large that float32 would make one of several.
    """
    if data.dtype.kind in "iu" and data.size and max(-int(data.min()), int(data.max())) > EXACT:
        raise UserError(
            f"{path}: holds whole numbers up to {int(data.max()):,}, of which float32 would make fewer; "
            f"shift or scale them to {EXACT:,} at most"
        )
    if data.dtype != np.uint8:
        data = data.astype(np.int16 if np.can_cast(data.dtype, np.int16) else np.float32)
    return np.ascontiguousarray(data)


def class_indices(data: NDArray[np.generic], path: Path, labels: Mapping[int, str]) -> NDArray[np.uint8]:
    """Label values to 0 (background) and the classes in the order of their values.

    Raises:
        UserError: a value that is no whole number, or that dataset.json doesn't declare.
    """
    declared = sorted(labels)
    values = whole_numbers(data, path)
    indices = np.zeros(values.shape, np.uint8)
    for value in np.unique(values).tolist():
        if value not in labels:
            known = ", ".join(f"{number} {labels[number]}" for number in declared)
            raise UserError(f"{path}: undeclared label {value}; dataset.json declares {known}")
        indices[values == value] = declared.index(value)
    return indices


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without nibabel's and numpy's own remarks on what is checked here."""
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
