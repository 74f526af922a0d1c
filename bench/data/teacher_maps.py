"""A teacher that is no network here: a probability map of each case, whatever made it (``--teacher-maps``).

A map is ``CASE.npz`` as nnU-Net writes it with ``--save_probabilities`` (key ``probabilities``, or
``softmax`` of version 1; channels first, then the axes in reverse, z, y, x), or, of a volume,
``CASE.nii.gz`` with the channels last. Channels are the background and the classes in order; of one class
that one will do. Maps are turned like their image and take every way that images take: as images with a
channel a class they are resized, cut and augmented by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import nifti
from bench.data.dataset import Dataset, Unlabelled
from bench.data.nifti_affine import (
    Affine,
    canonical_affine,
    check_pair,
    check_spacing,
    sides,
    spacing_of,
)
from bench.errors import UserError
from bench.files.checksums import checksum, digest

ENDINGS = (".npz", ".nii.gz", ".nii")
KEYS = ("probabilities", "softmax")
ROUNDING = 0.01
"""By what half precision and resampling may miss 1."""
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """The folder, and the file of each case that it holds."""

    folder: Path
    files: dict[str, Path]

    @property
    def hash(self) -> str:
        """Changes whenever a map does."""
        return digest(*(f"{case} {checksum(path)}" for case, path in sorted(self.files.items())))


def find_maps(folder: Path, dataset: Dataset, needed: Iterable[str]) -> Maps:
    """The files of the cases that are ``needed``.

    Raises:
        UserError: no such folder, two files of a case, or none.
    """
    if not folder.is_dir():
        raise UserError(f"--teacher-maps {folder}: no such folder; it must hold a map of every case")
    files: dict[str, Path] = {}
    wanted = list(dict.fromkeys(needed))
    for case in wanted:
        found = [path for path in (folder / f"{case}{ending}" for ending in ENDINGS) if path.is_file()]
        if len(found) > 1 and found[0].suffix != ".npz":
            raise UserError(f"{found[0]}: {found[1].name} is there as well; a case has one map")
        if found:
            files[case] = found[0]  # beside an .npz file nnU-Net leaves what it has decided, as NIfTI
    missing = [case for case in wanted if case not in files]
    if missing:
        more = f" and of {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"--teacher-maps {folder}: no map of case {missing[0]!r}{more}; must hold {missing[0]}.npz"
            + (f" or {missing[0]}.nii.gz" if dataset.spatial_dims == 3 else "")
        )
    return Maps(folder, files)


def read_map(path: Path, dataset: Dataset, case: str) -> Probabilities:
    """A case's map ``(classes, *spatial)``, without the background, lying as the image does.

    Raises:
        UserError: damaged, of another shape, place or number of classes, or no probabilities.
    """
    among = dataset if case in dataset.cases else dataset.unlabelled
    number = among.cases.index(case)
    shape = among.images[number].shape[1:]
    affine = among.affines[number] if among.affines else None
    own: Affine | None = None
    if path.suffix == ".npz":
        found = _from_npz(path, dataset.spatial_dims, affine)
    elif dataset.spatial_dims == 3:
        found, own = _from_nifti(path, dataset.affine)
    else:
        raise UserError(f"{path}: maps of 2-D images must be .npz")
    classes = len(dataset.classes)
    if len(found) != classes + 1 and not (len(found) == classes == 1):
        names = ", ".join(("background", *dataset.classes))
        raise UserError(f"{path}: holds {len(found)} channels; must hold {classes + 1}: {names}")
    if found.shape[1:] != shape:
        turned = found.shape[:0:-1] == shape
        raise UserError(
            f"{path}: is {sides(found.shape[1:])}, its image {sides(shape)}; "
            + (
                "its axes are in reverse: .npz holds them as z, y, x"
                if turned
                else "a map must cover its whole image, so undo crop and resampling"
            )
        )
    if own is not None:
        _check_place(path, canonical_affine(own, shape), among, number)
    _check_probabilities(path, found)
    return np.ascontiguousarray(found[-classes:])


def _from_npz(path: Path, dims: int, affine: Affine | None) -> Probabilities:
    try:
        with np.load(path, allow_pickle=False) as content:
            key = next((key for key in KEYS if key in content), None)
            array = None if key is None else np.asarray(content[key], np.float32)
            names = ", ".join(content)
    except Exception as error:  # whatever a damaged archive makes of itself
        raise UserError(f"{path}: not a readable .npz file ({error})") from None
    if array is None:
        raise UserError(f"{path}: holds {names or 'nothing'}; must hold {' or '.join(KEYS)}")
    if dims == 2 and array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]  # nnU-Net takes an image for a volume of one slice
    if array.ndim != dims + 1:
        raise UserError(f"{path}: {key} is {array.ndim}-D; must be {dims + 1}-D, channels first")
    if dims == 2:
        return array
    import nibabel as nib

    straight = array.transpose(0, 3, 2, 1)
    turn = nib.io_orientation(np.eye(4) if affine is None else affine)
    return np.stack([nib.apply_orientation(channel, turn) for channel in straight])


def _from_nifti(path: Path, preferred: str) -> tuple[Probabilities, Affine]:
    opened = nifti.open_image(path, channels=None, preferred=preferred)
    array = np.asarray(nifti.canonical_array(opened), np.float32)
    return (np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]), opened.affine


def _check_place(path: Path, own: Affine, among: Dataset | Unlabelled, number: int) -> None:
    """Refuse a map elsewhere than its image; where that has no affine, one of another spacing."""
    image, shape = Path(among.cases[number]), among.images[number].shape[1:]
    if among.affines:
        straight = canonical_affine(among.affines[number], shape)
        check_pair((image, straight), (path, own), shape, "map")
    elif among.spacing:
        check_spacing((image, among.spacing[number]), (path, spacing_of(own)), "map")


def _check_probabilities(path: Path, found: Probabilities) -> None:
    if not np.isfinite(found).all():
        raise UserError(f"{path}: holds NaN or infinite values; must hold probabilities")
    low, high = float(found.min()), float(found.max())
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise UserError(
            f"{path}: values from {low:.3g} to {high:.3g}; must be probabilities from 0 to 1, not logits"
        )
    if len(found) > 1:
        total = found.sum(axis=0).reshape(-1)
        worst = float(total[np.abs(total - 1).argmax()])
        if abs(worst - 1) > ROUNDING:
            raise UserError(f"{path}: the classes' probabilities sum to {worst:.3g} somewhere; must be 1")


def decisions(found: Probabilities) -> NDArray[np.uint8]:
    """Class indices of ``(classes, *spatial)`` probabilities: the largest, background among them."""
    every = np.concatenate([1 - found.sum(axis=0, keepdims=True), found])
    return every.argmax(axis=0).astype(np.uint8)


def as_dataset(maps: Maps, dataset: Dataset) -> Dataset:
    """The dataset with its maps as images, a channel a class; cases without a map have none."""

    def read(case: str) -> NDArray[np.generic]:
        return read_map(maps.files[case], dataset, case) if case in maps.files else np.zeros(0, np.float32)

    unlabelled = replace(dataset.unlabelled, images=tuple(map(read, dataset.unlabelled.cases)))
    images = [read(case) for case in dataset.cases]
    return replace(dataset, images=images, unlabelled=unlabelled, window=None, modalities=())
