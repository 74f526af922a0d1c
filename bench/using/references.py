"""Masks that predictions are scored against: found by the names of images, read as in a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import mask_values, nifti
from bench.data.nifti_names import ENDINGS
from bench.data.pictures import read_mask
from bench.errors import UserError
from bench.scoring.evaluation import score_case
from bench.study.predictions import Labels
from bench.using.inputs import CHANNEL, PICTURES, Input
from bench.using.volumes import Volume


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
    predicted: Labels, path: Path, classes: Sequence[str], volume: Volume | None, spacing: Sequence[float]
) -> dict[str, Any]:
    """``organ_size`` and all measures of a case, as a study's records have them.

    Args:
        predicted: canonical, of a volume.
        path: of the true mask.
        volume: whose mask it is; None: an image's.
        spacing: mm along each axis of ``predicted``; empty: distances are in pixels.

    Raises:
        UserError: a mask that can't be read or does not fit.
    """
    labels = dict(enumerate(("background", *classes)))
    truth = _of_image(path, labels) if volume is None else _of_volume(path, labels, volume)
    if truth.shape != predicted.shape:
        own, theirs = ("x".join(map(str, one.shape)) for one in (truth, predicted))
        raise UserError(f"{path}: mask is {own}, its image {theirs}; they must have the same size")
    scores = score_case(predicted, truth, classes, surface=True, spacing=tuple(spacing) or None)
    return {"organ_size": int(np.count_nonzero(truth)), **scores}


def _of_image(path: Path, labels: dict[int, str]) -> Labels:
    [indices], _ = mask_values.class_indices([path], [read_mask(path)], labels)
    return indices


def _of_volume(path: Path, labels: dict[int, str], volume: Volume) -> Labels:
    image = nifti.open_image(path, 1, volume.preferred, "masks are")
    own = Volume((image,), 1)
    if own.shape != volume.shape or not np.allclose(
        own.canonical_affine, volume.canonical_affine, atol=0.05
    ):
        raise UserError(f"{path}: does not lie where its image does; both must have the same grid in mm")
    return nifti.class_indices(nifti.canonical_array(image), path, labels)
