"""What a dataset is once it is read: arrays in memory, one entry a case, and who the patients are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files.checksums import digest


@dataclass(frozen=True)
class Unlabelled:
    """Images that nobody has outlined: a teacher's maps are learned on them, and they are never scored.

    All is as of a ``Dataset``, whose cases have other names; ``spacing`` and ``affines`` are volumes'.
    """

    cases: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    images: tuple[NDArray[np.generic], ...] = ()
    spacing: tuple[tuple[float, ...], ...] = ()
    affines: tuple[NDArray[np.float64], ...] = ()


PUBLIC = ("public domain", "cc0")
"""How the licence of images begins that anybody may publish."""


@dataclass(frozen=True)
class Dataset:
    """Images with masks, decoded.

    Attributes:
        name: as it is typed after ``--dataset``.
        cases: unique names, one an image.
        patients: the patient of each case; splits and averages go by it.
        images: ``(in_channels, *spatial)`` each, in their own units.
        masks: ``(*spatial)`` uint8 each, 0 is background, then the classes in order.
        classes: names of the foreground classes.
        values: of each class in the masks' files; empty: 1, 2, … as in ``masks``.
        fingerprint: changes whenever the content does (``fingerprint``), and not with how it is stored.
        stored_as: a name for the very files it was read from; decoded arrays are kept under it.
        contents: ``content_of`` each case, kept with the decoded arrays.
        warnings: what is odd about its files but harmless, a line each; a study keeps and says them.
        window: intensities outside are clipped before anything else (CT); None: as they are.
        synthetic: generated; every table and figure says so.
        note: what a reader of results must know, e.g. how patients were inferred.
        licence: of the images.
        spacing: millimetres between voxels along each axis of each case; empty: distances are in pixels.
        modalities: of each channel of a volume: "CT" is clipped and normalised by the training set,
            anything else per volume.
        unlabelled: further images, without masks.
        affines: of each volume's file as it was before it was turned, voxel indices to mm, ``(4, 4)``.
        affine: ``sform`` or ``qform``, which counted where headers contradict themselves (``--affine``).
    """

    name: str
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    images: list[NDArray[np.generic]]
    masks: list[NDArray[np.uint8]]
    classes: tuple[str, ...]
    fingerprint: str
    window: tuple[float, float] | None = None
    synthetic: bool = False
    note: str = ""
    licence: str = ""
    spacing: tuple[tuple[float, ...], ...] = ()
    modalities: tuple[str, ...] = ()
    stored_as: str = ""
    contents: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unlabelled: Unlabelled = Unlabelled()
    affines: tuple[NDArray[np.float64], ...] = ()
    affine: str = ""
    values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Whole numbers and NumPy's are numbers to whoever writes a dataset, but not to all who read one.
        steps = tuple(tuple(float(step) for step in own) for own in self.spacing)
        object.__setattr__(self, "spacing", steps)
        if self.values == tuple(range(1, len(self.classes) + 1)):
            object.__setattr__(self, "values", ())
        if self.window is not None:
            object.__setattr__(self, "window", (float(self.window[0]), float(self.window[1])))

    def facts(self) -> dict[str, Any]:
        """What a record says of the masks' files: values of classes, where these are not the usual ones."""
        return {"values": list(self.values)} if self.values else {}

    @property
    def in_channels(self) -> int:
        """Channels of every image."""
        return int(self.images[0].shape[0])

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return int(self.masks[0].ndim)

    @property
    def may_be_shown(self) -> bool:
        """Whether its pictures may be published: it is synthetic, or in the public domain."""
        return self.synthetic or self.licence.lower().startswith(PUBLIC)

    @property
    def out_channels(self) -> int:
        """Channels of the logits."""
        return out_channels(self.classes)


def out_channels(classes: Sequence[str]) -> int:
    """Channels of the logits: one for one foreground class (sigmoid), else one a class and background."""
    return 1 if len(classes) == 1 else len(classes) + 1


def nothing(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """An empty mask of an image ``(C, *spatial)``."""
    return np.zeros(image.shape[1:], np.uint8)


def content_of(image: NDArray[np.generic], mask: NDArray[np.uint8]) -> str:
    """SHA-256 of one case as it is decoded: the same however losslessly its files were written."""
    sha = hashlib.sha256(json.dumps([image.shape, mask.shape]).encode())
    sha.update(np.ascontiguousarray(image, "<f4").data)
    sha.update(np.ascontiguousarray(mask, np.uint8).data)
    return sha.hexdigest()


def fingerprint(
    cases: Sequence[str],
    patients: Sequence[str],
    contents: Sequence[str],
    spacing: Sequence[Sequence[float]] = (),
    declared: object = None,
) -> str:
    """A name for all that is learned from and scored against, in whatever order the cases come.

    Args:
        contents: ``content_of`` each case.
        spacing: of each case, in mm; empty where there is none.
        declared: what else decides results: classes, modalities, window.
    """
    steps = [[float(step) for step in own] for own in spacing] or [[]] * len(cases)
    rows = sorted(zip(cases, patients, contents, steps, strict=True))
    return digest(json.dumps([declared, rows], default=float))
