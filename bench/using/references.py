"""Masks that predictions are scored against: found by the names of images, read as in a dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import mask_values, nifti
from bench.data.nifti_affine import check_pair
from bench.data.nifti_names import ENDINGS
from bench.data.pictures import read_mask
from bench.errors import UserError
from bench.scoring.evaluation import score_case
from bench.study.predictions import Labels
from bench.using.inputs import CHANNEL, PICTURES, Input
from bench.using.preprocessing import Preprocessing
from bench.using.volumes import Volume

Read = Callable[[dict[int, str]], Labels]
"""The class indices of a mask's file, by the names of its values."""


def find_masks(folder: Path, found: Sequence[Input], of_volumes: bool) -> dict[str, Path]:
    """The mask of each input by the input's name; of some there may be none.

    A mask has the name of its image, at the same place below the folder, whatever its ending; of nnU-Net's
    ``case_0000.nii.gz`` it is ``case.nii.gz``.

    Raises:
        UserError: no such folder, two masks of one name, or no mask of any input.
    """
    if not folder.is_dir():
        raise UserError(f"--masks {folder}: no such folder")
    endings = ENDINGS if of_volumes else PICTURES
    there: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        ending = next((e for e in endings if path.name.lower().endswith(e)), None)
        if ending is None or any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        name = below.with_name(below.name[: -len(ending)]).as_posix()
        other = there.setdefault(name, path)
        if other != path:
            raise UserError(f"--masks {path}: {other.name} has the same name; remove one")
    masks = {}
    for one in found:
        match = CHANNEL.fullmatch(one.name)
        for name in (one.name, match["case"] if match else one.name):
            if name in there:
                masks[one.name] = there[name]
                break
    if not masks:
        kind = "NIfTI" if of_volumes else "PNG, TIFF, ..."
        raise UserError(
            f"--masks {folder}: holds no mask of any input ({kind}); masks must have the names of images"
        )
    return masks


def score(
    predicted: Labels, path: Path, made_for: Preprocessing, volume: Volume | None, spacing: Sequence[float]
) -> dict[str, Any]:
    """``organ_size`` and all measures of a case, as a study's records have them.

    Args:
        predicted: canonical, of a volume.
        path: of the true mask.
        made_for: names and values of classes.
        volume: whose mask it is; None: an image's.
        spacing: mm along each axis of ``predicted``; empty: distances are in pixels.

    Raises:
        UserError: a mask that can't be read or does not fit.
    """
    read = _of_image(path) if volume is None else _of_volume(path, volume)
    classes = made_for.classes
    truth = _by_values_or_ranks(read, classes, made_for.values)
    if truth.shape != predicted.shape:
        own, theirs = ("x".join(map(str, one.shape)) for one in (truth, predicted))
        raise UserError(f"{path}: mask is {own}, its image {theirs}; they must have the same size")
    scores = score_case(predicted, truth, classes, surface=True, spacing=tuple(spacing) or None)
    return {"organ_size": int(np.count_nonzero(truth)), **scores}


def _by_values_or_ranks(read: Read, classes: Sequence[str], values: Sequence[int]) -> Labels:
    """Class indices by the values that the training data's own masks have, or else as masks are predicted.

    Predicted masks hold 1, 2, …. They are read so only where no such number is the value of another class.
    """
    ranks = range(1, len(classes) + 1)
    usual = dict(enumerate(("background", *classes)))
    if not values:
        return read(usual)
    try:
        return read({0: "background", **dict(zip(values, classes, strict=True))})
    except UserError:
        if any(rank in values and values[rank - 1] != rank for rank in ranks):
            raise
        with contextlib.suppress(UserError):
            return read(usual)
        raise


def _of_image(path: Path) -> Read:
    mask = read_mask(path)

    def read(labels: dict[int, str]) -> Labels:
        [indices], _ = mask_values.class_indices([path], [mask], labels)
        return indices

    return read


def _of_volume(path: Path, volume: Volume) -> Read:
    image = nifti.open_image(path, 1, volume.preferred, "masks are")
    own = Volume((image,), 1)
    if own.shape == volume.shape:  # else `score` says so
        place = volume.images[0].path, volume.canonical_affine
        check_pair(place, (path, own.canonical_affine), volume.shape, "mask")
    voxels = nifti.canonical_array(image)
    return lambda labels: nifti.class_indices(voxels, path, labels)
