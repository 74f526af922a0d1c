"""Decoded arrays of a dataset, kept between the jobs of a study."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.data.dataset import Dataset, content_of, nothing
from bench.files.atomic import on_disk, partial_path, place, writing
from bench.files.checked import set_aside

CONTENTS = "contents.json"


class Decoded(NamedTuple):
    """Images and masks of a dataset, and ``content_of`` each pair."""

    images: list
    masks: list
    contents: list[str]


def decode_once(
    cache: Path | None, key: str, count: int, decode: Callable[[], tuple[list, list]]
) -> Decoded:
    """What ``keep_decoded`` left under ``cache``, else ``decode()``: ``count`` images and masks.

    Kept arrays are mapped, not read: what a job doesn't touch of large volumes takes no memory.
    """
    folder = cache / key if cache else None
    if folder is not None and folder.is_dir():
        kept = _kept(folder, count)
        if kept is not None:
            return kept
        set_aside(folder, "not the decoded arrays of this dataset")
    images, masks = decode()
    return Decoded(images, masks, [content_of(*pair) for pair in zip(images, masks, strict=True)])


def _kept(folder: Path, count: int) -> Decoded | None:
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
        contents = json.loads((folder / CONTENTS).read_bytes())
    except Exception:  # absent or damaged: it can be made again
        return None
    fits = all(
        image.dtype.kind in "iuf" and mask.dtype == np.uint8 and image.shape[1:] == mask.shape
        for image, mask in zip(images, masks, strict=True)
    )
    known = len(contents) == count and all(isinstance(content, str) for content in contents)
    return Decoded(images, masks, contents) if fits and known else None


def keep_decoded(cache: Path, dataset: Dataset) -> None:
    """Keep the arrays of a dataset that asks for them, by ``stored_as``, for ``decode_once``."""
    if not dataset.stored_as:
        return
    folder = cache / dataset.stored_as
    images = [*dataset.images, *dataset.unlabelled.images]
    empty = [nothing(image) for image in dataset.unlabelled.images]
    masks, contents = [*dataset.masks, *empty], list(dataset.contents)
    contents += [content_of(*pair) for pair in zip(dataset.unlabelled.images, empty, strict=True)]
    if _kept(folder, len(images)):
        return
    if folder.is_dir():
        set_aside(folder, "not the decoded arrays of this dataset")
    partial = partial_path(folder)
    with writing(folder):
        try:
            partial.mkdir(parents=True)
            for kind, arrays in (("i", images), ("m", masks)):
                for k, array in enumerate(arrays):
                    np.save(partial / f"{kind}{k}.npy", array)
                    on_disk(partial / f"{kind}{k}.npy")
            (partial / CONTENTS).write_text(json.dumps(contents))
            on_disk(partial / CONTENTS)
            place(partial, folder)
        except OSError:
            if not folder.is_dir():  # else another run was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
