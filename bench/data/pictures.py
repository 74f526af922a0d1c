"""One file of a 2-D image or mask: its pixels in full, the right way up, or a refusal that says why.

Pillow opens more than it keeps: colour of 16 bits a channel is cut to 8, channels beyond the fourth are
left out, grey values of 2 or 4 bits are stretched to 0-255. Such files are refused here, or read as they
are.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.data.class_labels import whole_numbers
from bench.errors import UserError

FORMATS = ("PNG", "TIFF", "JPEG", "BMP", "GIF", "PPM", "WEBP")
"""Pillow's names. Not all that it knows: some formats start programs, others are cut in silence."""
LOSSY = ("JPEG", "MPO", "WEBP")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's kinds of images with eight bits a channel or fewer."""
GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
COLOUR = ("P", "RGB", "RGBA")
ORIENTATION = 274
"""Of EXIF, and of a TIFF file as those that follow."""
BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION, SAMPLES, SAMPLE_FORMAT = 258, 259, 262, 270, 277, 339
DEPTH = 32997
"""Planes of a volume in one page."""
JPEG_INSIDE = (6, 7)


@dataclass(frozen=True)
class Picture:
    """An image as it came.

    ``pixels`` ``(height, width)`` of grey or ``(height, width, 3)`` of colour: uint8, or float32 of what
    has more bits. ``turned``: its EXIF orientation was applied.
    """

    pixels: NDArray[Any]
    turned: bool


@dataclass(frozen=True)
class RawMask:
    """A mask's values ``(height, width)``, whole numbers, before it is known what classes they are.

    ``palette``: the colour of each value where it is an index into one.
    """

    values: NDArray[np.integer]
    turned: bool
    palette: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Loaded:
    """A decoded file, the right way up; ``bits`` a channel as they are stored."""

    image: Image.Image
    format: str
    bits: int
    turned: bool
    tags: dict[int, Any]


def read_image(path: Path) -> Picture:
    """The image in a file, grey or colour as it is stored.

    Raises:
        UserError: no image, or one that would not be read in full: 16-bit colour, several
            pages, transparent.
    """
    loaded = _load(path)
    image = loaded.image
    if image.mode not in (*GREY, *COLOUR):
        raise UserError(f"{path}: has pixels of the kind {image.mode}; an image must be grey or RGB")
    if image.mode in ("LA", "RGBA") or (image.mode == "P" and "transparency" in image.info):
        image = _opaque(path, image, "save the image without an alpha channel")
    if image.mode == "P":
        image = image.convert("RGB")
    if image.mode in ("1", "L", "RGB"):
        return Picture(np.asarray(image.convert("L") if image.mode == "1" else image), loaded.turned)
    pixels = _many_bits(loaded, image).astype(np.float32)
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise UserError(f"{path}: {bad} of {pixels.size} pixels are NaN or infinite; must be finite")
    return Picture(pixels, loaded.turned)


def read_mask(path: Path) -> RawMask:
    """The values of a mask's pixels; of a palette's image the indices.

    Raises:
        UserError: no image, or one whose pixels are not plainly the numbers of classes.
    """
    loaded = _load(path)
    image = loaded.image
    if loaded.format in LOSSY or loaded.tags.get(COMPRESSION) in JPEG_INSIDE:
        raise UserError(
            f"{path}: a {'TIFF with JPEG inside' if loaded.tags else loaded.format} can't be a mask, for "
            "its compression can change values at edges; make the masks anew as PNG, or cut them at a "
            "threshold and save them so"
        )
    if loaded.tags.get(PHOTOMETRIC) == 0:  # some writers store a mask's 1 so and mean the object
        raise UserError(
            f"{path}: a TIFF in which 0 is white: whether 0 is the background or the object can't be "
            "known; save the mask as PNG, or as a TIFF in which 0 is black"
        )
    if image.mode == "1" and loaded.format == "PPM":
        raise UserError(
            f"{path}: a PBM, in which 1 is black: whether black is the background or the object can't be "
            "known; save the mask as PNG, 0 the background"
        )
    _check_transparent(path, image)
    if image.mode in ("LA", "RGBA"):
        image = _opaque(path, image, "a mask in an alpha channel is not read; save it as a grey PNG")
    colours = np.reshape(image.getpalette("RGB") or [], (-1, 3)) if image.mode == "P" else np.zeros((0, 3))
    if loaded.format == "GIF" and len(colours) and is_grey(colours[None]):
        image = image.convert("L")  # GIF knows no grey; its writers leave out values that no pixel has
    if image.mode == "P":
        values = np.asarray(image)
        used = [value for value in np.unique(values).tolist() if value < len(colours)]
        return RawMask(values, loaded.turned, {value: tuple(colours[value].tolist()) for value in used})
    if image.mode == "RGB":
        return RawMask(_one_channel(path, np.asarray(image)), loaded.turned)
    if image.mode == "1":
        return RawMask(np.asarray(image).astype(np.uint8), loaded.turned)
    if image.mode == "L":
        stretched = 255 // (2**loaded.bits - 1) if loaded.bits in (2, 4) else 1
        return RawMask(np.asarray(image) // np.uint8(stretched), loaded.turned)
    if image.mode not in GREY:
        raise UserError(
            f"{path}: has pixels of the kind {image.mode}; a mask must be a grey or palette image"
        )
    return RawMask(whole_numbers(_many_bits(loaded, image), path), loaded.turned)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Whatever is in a file as grey values ``(height, width)``: for those who know that it is grey.

    Raises:
        UserError: not an image, damaged, of more than 8 bits a channel, or so large that it may be a trap.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                mode = image.mode
                pixels = np.asarray(image.convert("L"))
    except Exception as error:  # what a decoder makes of damaged bytes may be any
        raise UserError(f"{path}: not a readable image ({error})") from None
    if mode not in MODES:  # Pillow would cut off what is above 255
        raise UserError(f"{path}: has pixels of the kind {mode}; images must have 8 bits a channel")
    return pixels


def _load(path: Path) -> _Loaded:
    """Decode a file and turn it as its EXIF orientation says."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                kind, stored = str(opened.format), opened.mode
                tags = dict(getattr(opened, "tag_v2", {}))
                pages = (
                    1
                    if kind == "MPO"
                    else max(int(getattr(opened, "n_frames", 1)), _planes(opened.size, tags))
                )
                bits = _bits(opened, tags)
                wrong = _unread(stored, bits, tags)
                turned = opened.getexif().get(ORIENTATION, 1) in range(2, 9)
                opened.load()
                image = ImageOps.exif_transpose(opened)
    except Exception as error:  # what a decoder makes of damaged bytes may be any
        raise UserError(
            f"{path}: not a readable image ({error}); must be PNG, TIFF, BMP, GIF, PPM, or JPEG for images"
        ) from None
    if pages > 1:
        raise UserError(f"{path}: holds {pages} pages; a file must hold one image, so save each as its own")
    if bits > 8 and stored not in GREY:
        raise UserError(
            f"{path}: colour of {bits} bits a channel, which would be cut to 8; save it as grey of 16 bits "
            "or as colour of 8"
        )
    if wrong:
        raise UserError(f"{path}: {wrong}; save it as a plain grey or RGB image, upright")
    return _Loaded(image, kind, bits, turned, tags)


def _planes(size: tuple[int, int], tags: dict[int, Any]) -> int:
    """Images that a TIFF file says to hold in one page, as tifffile and ImageJ write volumes."""
    text = str(tags.get(DESCRIPTION, ""))
    if found := re.search(r"^images=(\d+)", text, re.MULTILINE):
        return int(found[1])
    if shape := re.search(r'"shape": \[([\d, ]+)\]', text):
        values = math.prod(int(side) for side in shape[1].split(","))
        return max(1, values // (size[0] * size[1] * int(tags.get(SAMPLES, 1))))
    return int(tags.get(DEPTH, 1))


def _bits(opened: Image.Image, tags: dict[int, Any]) -> int:
    """Bits a channel as they are stored; before the pixels are read."""
    if tags:
        return max(tags.get(BITS, (1,)))
    tiles = getattr(opened, "tile", [])
    args = tiles[0].args if tiles else ""
    rawmode = args[0] if isinstance(args, tuple) and args else args
    if opened.format == "PPM":
        highest = args[1] if isinstance(args, tuple) and len(args) == 2 else 255
        if highest not in (255, 65535):
            raise ValueError(f"its highest value is {highest}, must be 255 or 65535")
        return 8 if highest == 255 else 16
    found = re.search(r";(\d+)", str(rawmode))
    return int(found[1]) if found and opened.format == "PNG" else 8


def _unread(mode: str, bits: int, tags: dict[int, Any]) -> str:
    """What of a TIFF file Pillow would leave out or turn around."""
    channels = len(Image.new(mode, (1, 1)).getbands()) if tags else 0
    if channels and tags.get(SAMPLES, 1) > channels:
        return f"{tags[SAMPLES]} channels, of which only {channels} would be read"
    if channels and bits == 8 and 2 in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
        return "signed values of 8 bits, which would be read as 0 to 255"
    if channels and bits > 8 and tags.get(PHOTOMETRIC) == 0:
        return "its values are inverted (0 is white)"
    if tags.get(ORIENTATION) in range(5, 9):  # without compression Pillow reads such rows as columns
        return f"a TIFF that lies on its side (orientation {tags[ORIENTATION]})"
    return ""


def _opaque(path: Path, image: Image.Image, remedy: str) -> Image.Image:
    """The image without its alpha channel, which must say nothing."""
    grey = image.mode == "LA"
    image = image.convert("RGBA") if image.mode == "P" else image
    low, _ = image.getchannel("A").getextrema()
    if low != 255:
        raise UserError(f"{path}: its alpha channel is not opaque all over; {remedy}")
    return image.getchannel("L") if grey else image.convert("RGB")


def _check_transparent(path: Path, image: Image.Image) -> None:
    """Refuse a mask in which another value than 0, the background, is what can be seen through."""
    clear = image.info.get("transparency")
    if clear is None or image.mode not in ("1", "L", "P", "RGB"):
        return
    pixels = np.asarray(image)
    if isinstance(clear, bytes):
        values = [value for value, alpha in enumerate(clear) if alpha < 255]
        hidden = bool(np.isin(pixels, [value for value in values if value]).any())
    else:
        hidden = bool(np.any(clear)) and bool(
            (pixels == np.asarray(clear)).reshape(*pixels.shape[:2], -1).all(-1).any()
        )
    if hidden:
        raise UserError(
            f"{path}: pixels of another value than 0 are transparent in it, so which is the background "
            "can't be known; save the mask as a grey PNG without transparency, 0 the background"
        )


def _many_bits(loaded: _Loaded, image: Image.Image) -> NDArray[Any]:
    """Grey of more than 8 bits, in full."""
    pixels = np.asarray(image)
    if image.mode == "I" and loaded.bits == 32 and 1 in np.atleast_1d(loaded.tags.get(SAMPLE_FORMAT, 1)):
        return pixels.view(np.uint32)
    return pixels


def _one_channel(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey mask that is stored as RGB."""
    if is_grey(pixels):
        return np.ascontiguousarray(pixels[..., 0])
    found = np.unique(pixels.reshape(-1, 3), axis=0)
    shown = ", ".join(str(tuple(colour)) for colour in found[:3].tolist())
    raise UserError(
        f"{path}: a coloured mask ({len(found)} colours: {shown}{', …' if len(found) > 3 else ''}); which "
        "class a colour is can't be known: save it as a grey or palette PNG, 0 the background, 1, 2, … the "
        "classes"
    )


def is_grey(pixels: NDArray[Any]) -> bool:
    """Whether there is one channel, or three that are equal."""
    return pixels.ndim == 2 or bool(
        (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    )
