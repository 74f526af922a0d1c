"""Decoded arrays of a dataset, kept between the jobs of a study."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.files.atomic import on_disk, partial_path, place, writing
from bench.files.checked import set_aside


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
