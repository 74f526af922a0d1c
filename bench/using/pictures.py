"""2-D images to predict, their masks as PNG, and pictures of what was found, for looking at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.pictures import is_grey, read_image
from bench.errors import UserError
from bench.study.class_colours import PALETTE
from bench.study.predictions import Labels
from bench.using import dicom
from bench.using.preprocessing import Preprocessing

TINT = 0.45
SHOWN = (1.0, 99.0)
"""Percentiles of an image without a window that are shown as black and white."""
MM_PER_INCH = 25.4


def open_picture(path: Path, kind: str, channels: int) -> tuple[NDArray[np.generic], tuple[float, ...]]:
    """An image ``(C, height, width)``, upright, and mm between rows and columns where the file knows them.

    Raises:
        UserError: unreadable, or of other channels than the network's.
    """
    spacing: tuple[float, ...] = ()
    if kind == "dicom":
        pixels, spacing = dicom.read_picture(path)
    else:
        pixels = read_image(path).pixels
    if channels == 1 and is_grey(pixels):
        return (pixels if pixels.ndim == 2 else pixels[..., 0])[None], spacing
    if pixels.ndim == 3 and pixels.shape[2] == channels:
        return np.moveaxis(pixels, -1, 0), spacing
    found = "in colour" if pixels.ndim == 3 else "grey"
    raise UserError(
        f"{path}: is {found}; the network needs {'grey images' if channels == 1 else 'RGB images'}"
    )


def write_mask(mask: Labels, classes: Sequence[str], spacing: Sequence[float], path: Path) -> None:
    """A mask as PNG: 0 and 255 where there is one class, else the numbers of classes with a palette."""
    if len(classes) == 1:
        picture = Image.fromarray(mask * np.uint8(255))
    else:
        picture = Image.fromarray(mask)
        picture.putpalette([value for colour in PALETTE for value in colour])
    if spacing:
        picture.save(path, dpi=(MM_PER_INCH / spacing[1], MM_PER_INCH / spacing[0]))
    else:
        picture.save(path)


def write_overlay(
    image: NDArray[np.generic], mask: Labels, made_for: Preprocessing, spacing: Sequence[float], path: Path
) -> None:
    """The image with what was found tinted; of a volume the axial slice that holds the most of it.

    Args:
        image: ``(C, *spatial)``; of a volume an axial slice ``(C, x, y)`` of it in canonical orientation.
        spacing: of the two axes, in mm; empty: pixels are squares.
    """
    grey = _shown(image, made_for)
    if made_for.of_volumes:  # as radiologists look at it: from the feet, the front above
        grey, mask = np.rot90(grey, 1, (0, 1))[:, ::-1], np.rot90(mask)[:, ::-1]
        spacing = spacing[::-1]
    palette = np.array(PALETTE, float)
    tinted = np.where(mask[..., None] > 0, (1 - TINT) * grey + TINT * palette[mask], grey)
    picture = Image.fromarray(np.rint(tinted).astype(np.uint8))
    if len(spacing) == 2 and not np.isclose(spacing[0], spacing[1], rtol=1e-2):
        high, wide = (side * step / min(spacing) for side, step in zip(mask.shape, spacing, strict=True))
        picture = picture.resize((round(wide), round(high)), Image.Resampling.NEAREST)
    picture.save(path)


def _shown(image: NDArray[np.generic], made_for: Preprocessing) -> NDArray[np.float64]:
    """``(*spatial, 3)`` of 0 to 255: colours as they are, else the first channel from black to white."""
    values = np.asarray(image, float)
    window = made_for.channels[0].window
    if len(values) == 3 and not made_for.of_volumes and values.max(initial=0) <= 255:
        return np.moveaxis(values, 0, -1)
    low, high = window or np.percentile(values[0], SHOWN)
    grey = 255 * ((values[0] - low) / max(high - low, 1e-9)).clip(0, 1)
    return np.repeat(grey[..., None], 3, axis=-1)
