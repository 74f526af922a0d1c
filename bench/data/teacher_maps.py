"""A teacher that is no network here: a probability map of each case, whatever made it (``--teacher-maps``).

A map is ``CASE.npz`` as nnU-Net writes it with ``--save_probabilities`` (key ``probabilities``, or
``softmax`` of version 1; channels first, then the axes in reverse, z, y, x), or, of a volume,
``CASE.nii.gz`` with the channels last. Channels are the background and the classes in order; of one class
that one will do. Maps are turned like their image and take every way that images take: as images with a
channel a class they are resized, cut and augmented by the same code.
"""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.data import nifti
from bench.data.dataset import Dataset
from bench.data.nifti_affine import Affine, canonical_affine, check_pair, sides
from bench.errors import UserError
from bench.files.checksums import checksum, digest

ENDINGS = (".npz", ".nii.gz", ".nii")
KEYS = ("probabilities", "softmax")
ROUNDING = 0.01
"""By what half precision and resampling may miss 1."""
LOOKED_AT, COARSE = 24, 48
"""Cases, and voxels a side, by which it is judged whether maps lie like their masks."""
CLEARLY, CLEARLY_ONE = 0.1, 0.3
"""Dice by which another way of turning must fit better to be the right one: of all maps, of one."""
Probabilities = NDArray[np.float32]
Overlaps = NDArray[np.float64]
Turn = tuple[tuple[int, ...], tuple[bool, ...]]
"""An order of the axes, and which of them are flipped."""


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
    shape = among.images[number].shape[1:] if among is dataset.unlabelled else dataset.masks[number].shape
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
    if affine is not None and own is not None:
        of_image = Path(case), canonical_affine(affine, shape)
        check_pair(of_image, (path, canonical_affine(own, shape)), shape, "map")
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


def check_agreement(maps: Maps, dataset: Dataset, cases: Iterable[str]) -> float:
    """Dice of the maps' decisions against the masks of some ``cases``, mean over classes.

    Where a shape can't tell that maps are turned, this does. NaN where no case holds an object.

    Raises:
        UserError: turned or flipped, or with classes in another order, they fit clearly better; or one map
            does.
    """
    each = {case: _overlaps(maps, dataset, case) for case in _telling(dataset, cases)}
    if not each:
        return np.nan
    overlaps: dict[Turn, list[Overlaps]] = {}
    for turn, found in (pair for own in each.values() for pair in own.items()):
        overlaps.setdefault(turn, []).append(found)
    with warnings.catch_warnings(action="ignore"):  # of classes that none of these cases has
        whole = {turn: np.nanmean(own, axis=0) for turn, own in overlaps.items() if len(own) == len(each)}
        fits = {turn: float(np.nanmean(np.diag(own))) for turn, own in whole.items()}
    as_it_is = next(iter(fits))
    best = max(fits, key=lambda turn: fits[turn])
    straight = np.nan_to_num(whole[as_it_is])
    rows, columns = linear_sum_assignment(-straight)
    sorted_fit = float(straight[rows, columns].mean())
    where = f"--teacher-maps {maps.folder}: Dice {fits[as_it_is]:.2f} to the training masks, but"
    if len(dataset.classes) == 1 and (swapped := _fit_of_rest(maps, dataset, each)) > fits[best] + CLEARLY:
        raise UserError(
            f"{where} {swapped:.2f} if the first channel is {dataset.classes[0]}; must be background, "
            f"{dataset.classes[0]}"
        )
    if sorted_fit > fits[as_it_is] + CLEARLY and sorted_fit >= fits[best]:
        said = ", ".join(dataset.classes[k] for k in np.argsort(columns))
        raise UserError(
            f"{where} {sorted_fit:.2f} if the channels are {said}; must be {', '.join(dataset.classes)}"
        )
    if fits[best] > fits[as_it_is] + CLEARLY:
        raise UserError(f"{where} {fits[best]:.2f} {_how(*best)}; maps must lie like their images")
    for case, own in each.items():
        _check_one(own, maps.files[case])
    return fits[as_it_is]


def _telling(dataset: Dataset, cases: Iterable[str]) -> list[str]:
    """Cases that hold an object, of as many patients as there are: each one's first, then its second ..."""
    number = {case: k for k, case in enumerate(dataset.cases)}
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int, str]] = []
    for case in cases:
        if dataset.masks[number[case]].any():
            patient = dataset.patients[number[case]]
            ranked.append((seen[patient], len(ranked), case))
            seen[patient] += 1
    return [case for _, _, case in sorted(ranked)[:LOOKED_AT]]


def _overlaps(maps: Maps, dataset: Dataset, case: str) -> dict[Turn, Overlaps]:
    """Of each way of turning a map the Dice of each class of the mask with each of the map."""
    classes = range(1, len(dataset.classes) + 1)
    mask = dataset.masks[dataset.cases.index(case)]
    decided = decisions(read_map(maps.files[case], dataset, case))
    step = tuple(slice(None, None, -(-side // COARSE)) for side in mask.shape)
    mask, decided = mask[step], decided[step]
    found = {}
    for order, flips in _turns(mask.shape):
        other = np.flip(decided.transpose(order), tuple(a for a, flip in enumerate(flips) if flip))
        own = [[_dice(mask == true, other == said) for said in classes] for true in classes]
        found[order, flips] = np.array(own)
    return found


def _fit_of_rest(maps: Maps, dataset: Dataset, cases: Iterable[str]) -> float:
    """Dice of masks of one class if channels are swapped: of the class and of the rest the lower one."""
    found = []
    for case in cases:
        mask = dataset.masks[dataset.cases.index(case)]
        decided = decisions(read_map(maps.files[case], dataset, case))
        found.append(min(_dice(mask == 1, decided == 0), _dice(mask == 0, decided == 1)))
    return float(np.mean(found))


def _check_one(overlaps: dict[Turn, Overlaps], path: Path) -> None:
    """Refuse a map that is turned otherwise than most: of a tool that turns some images and not others."""
    fits = {turn: float(np.nanmean(np.diag(own))) for turn, own in overlaps.items()}
    as_it_is, best = next(iter(fits)), max(fits, key=lambda turn: fits[turn])
    if fits[best] > fits[as_it_is] + CLEARLY_ONE:
        raise UserError(
            f"{path}: Dice {fits[as_it_is]:.2f} to its mask, but {fits[best]:.2f} {_how(*best)}; maps must "
            "lie like their images"
        )


def _how(order: tuple[int, ...], flips: tuple[bool, ...]) -> str:
    """A way of turning in words."""
    turned = list(order) != sorted(order)
    parts = [f"with axes in the order {', '.join(map(str, order))}"] if turned else []
    if any(flips):
        parts.append(f"flipped along {', '.join(str(axis) for axis, flip in enumerate(flips) if flip)}")
    return " and ".join(parts)


def decisions(found: Probabilities) -> NDArray[np.uint8]:
    """Class indices of ``(classes, *spatial)`` probabilities: the largest, background among them."""
    every = np.concatenate([1 - found.sum(axis=0, keepdims=True), found])
    return every.argmax(axis=0).astype(np.uint8)


def _turns(shape: tuple[int, ...]) -> list[Turn]:
    """Orders of the axes that leave the shape, each with every choice of axes to flip; as it is first."""
    axes = range(len(shape))
    orders = [o for o in itertools.permutations(axes) if tuple(shape[a] for a in o) == shape]
    return list(itertools.product(orders, itertools.product((False, True), repeat=len(shape))))


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    size = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / size if size else np.nan


def as_dataset(maps: Maps, dataset: Dataset) -> Dataset:
    """The dataset with its maps as images, a channel a class; cases without a map have none."""

    def read(case: str) -> NDArray[np.generic]:
        return read_map(maps.files[case], dataset, case) if case in maps.files else np.zeros(0, np.float32)

    unlabelled = replace(dataset.unlabelled, images=tuple(map(read, dataset.unlabelled.cases)))
    images = [read(case) for case in dataset.cases]
    return replace(dataset, images=images, unlabelled=unlabelled, window=None, modalities=())
