"""What is odd about decoded cases: images of one value, the same case twice, voxels of another size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset, Unlabelled, content_of, nothing
from bench.errors import UserError

FAR = 20.0
"""Times that voxels are as large as is usual, from which on a header is hardly right."""


def odd_content(dataset: Dataset) -> list[str]:
    """What to say of the cases of a dataset, a line a kind."""
    flat = [
        case
        for case, image in zip(dataset.cases, dataset.images, strict=True)
        if image.size and image.min() == image.max()
    ]
    return [
        *(
            [f"{_shown(flat)}: the image holds one value only, so nothing can be seen in it"]
            if flat
            else []
        ),
        *_twice(dataset),
        *_odd_spacing(dataset),
    ]


def check_not_the_same(
    images: Sequence[np.ndarray],
    named: Sequence[tuple[str, str]],
    alone: Unlabelled,
    files: Sequence[Path],
) -> None:
    """Refuse an image of a patient that is there once more without a mask, as another patient's.

    Else a network could learn from the very images that it is tested on.

    Args:
        named: of each image its file and its patient.
        files: of the images without masks.
    """
    if not alone.cases:
        return
    owners = dict(zip((content_of(image, nothing(image)) for image in images), named, strict=True))
    for image, patient, path in zip(alone.images, alone.patients, files, strict=True):
        name, owner = owners.get(content_of(image, nothing(image)), ("", patient))
        if owner != patient:
            raise UserError(
                f"{path}: is {name} of patient {owner!r} once more, under patient {patient!r}; name the "
                "same patient, or remove it"
            )


def _twice(dataset: Dataset) -> list[str]:
    """The same image and mask as those of two patients: in two parts of a split scores are too good."""
    same: dict[str, list[int]] = defaultdict(list)
    for k, content in enumerate(dataset.contents):
        same[content].append(k)
    twins = [ks for ks in same.values() if len({dataset.patients[k] for k in ks}) > 1]
    if not twins:
        return []
    first, second = ((dataset.cases[k], dataset.patients[k]) for k in _of_two(twins[0], dataset.patients))
    more = f", and {len(twins) - 1} more such" if len(twins) > 1 else ""
    return [
        f"cases {first[0]} and {second[0]} are the same image and mask, as those of patients {first[1]!r} "
        f"and {second[1]!r}{more}; in two parts of the split they make scores too good"
    ]


def _of_two(cases: Sequence[int], patients: Sequence[str]) -> tuple[int, int]:
    return cases[0], next(k for k in cases if patients[k] != patients[cases[0]])


def _odd_spacing(dataset: Dataset) -> list[str]:
    """Voxels far smaller or larger than those of most cases."""
    if not dataset.spacing:
        return []
    usual = np.median(dataset.spacing, axis=0)
    far = [
        k
        for k, own in enumerate(dataset.spacing)
        if (np.abs(np.log(np.divide(own, usual))) > np.log(FAR)).any()
    ]
    if not far:
        return []
    sides, most = ("x".join(f"{side:g}" for side in steps) for steps in (dataset.spacing[far[0]], usual))
    return [
        f"{_shown([dataset.cases[k] for k in far])}: spacing of {sides} mm, where {most} mm is usual here"
    ]


def _shown(cases: Sequence[str]) -> str:
    return cases[0] + (f" and {len(cases) - 1} more cases" if len(cases) > 1 else "")
