"""What a dataset is once it is read: arrays in memory, one entry a case, and who the patients are."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.integrity import on_disk, partial_path, place, set_aside, writing


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
        fingerprint: changes whenever the content does.
        window: intensities outside are clipped before anything else (CT); None: as they are.
        synthetic: generated; every table and figure says so.
        note: what a reader of results must know, e.g. how patients were inferred.
        licence: of the images.
        spacing: millimetres between voxels along each axis of each case; empty: distances are in pixels.
        modalities: of each channel of a volume: "CT" is clipped and normalised by the training set,
            anything else per volume.
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

    @property
    def in_channels(self) -> int:
        """Channels of every image."""
        return int(self.images[0].shape[0])

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return int(self.masks[0].ndim)

    @property
    def out_channels(self) -> int:
        """Channels of the logits: one for one class (sigmoid), else one a class and background."""
        return 1 if len(self.classes) == 1 else len(self.classes) + 1


def digest(*parts: bytes | str) -> str:
    """A short name for some content."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:16]


def decode_once(
    cache: Path | None, key: str, count: int, decode: Callable[[], tuple[list, list]]
) -> tuple[list, list]:
    """What ``keep_decoded`` left under ``cache``, else ``decode()``: ``count`` images and masks.

    Kept arrays are mapped, not read: what a job doesn't touch of large volumes takes no memory.
    """
    folder = cache / key if cache else None
    if folder is None or not folder.is_dir():
        return decode()
    kept = _kept(folder, count)
    if kept is None:
        set_aside(folder, "not the decoded arrays of this dataset")
    return kept or decode()


def _kept(folder: Path, count: int) -> tuple[list, list] | None:
    """The arrays of ``folder``; None where they are not all there, whole and of numbers."""
    try:
        with warnings.catch_warnings(action="ignore"):
            images, masks = (
                [
                    np.load(folder / f"{kind}{k}.npy", mmap_mode="c", allow_pickle=False)
                    for k in range(count)
                ]
                for kind in "im"
            )
    except Exception:  # absent or damaged: it can be made again
        return None
    fits = all(
        image.dtype.kind in "iuf" and mask.dtype == np.uint8 and image.shape[1:] == mask.shape
        for image, mask in zip(images, masks, strict=True)
    )
    return (images, masks) if fits else None


def keep_decoded(cache: Path, dataset: Dataset) -> None:
    """Keep the dataset's arrays under ``cache`` for ``decode_once``."""
    folder = cache / f"{dataset.name}-{dataset.fingerprint}"
    if _kept(folder, len(dataset.cases)):
        return
    if folder.is_dir():
        set_aside(folder, "not the decoded arrays of this dataset")
    partial = partial_path(folder)
    with writing(folder):
        try:
            partial.mkdir(parents=True)
            for kind, arrays in (("i", dataset.images), ("m", dataset.masks)):
                for k, array in enumerate(arrays):
                    np.save(partial / f"{kind}{k}.npy", array)
                    on_disk(partial / f"{kind}{k}.npy")
            place(partial, folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
