"""An image file to a mask; needs Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .steps import Network, check, clip, decide, normalise, stretch

ENDING = ".png"
COLOURS = (
    *((240, 228, 66), (86, 180, 233), (230, 159, 0), (204, 121, 167)),
    *((0, 158, 115), (213, 94, 0), (0, 114, 178), (255, 255, 255)),
)
"""RGB of classes 1 and on, in turns."""


def predict(network: Network, how: dict[str, Any], path: Path, out: Path) -> None:
    """An image file to a mask as PNG: 0 and 255, or numbers of classes with a palette."""
    with Image.open(path) as opened:
        pages = getattr(opened, "n_frames", 1)
        if pages > 1 and opened.format != "MPO":
            raise ValueError(f"holds {pages} pages; a file must hold one image")
        image = ImageOps.exif_transpose(opened)
    image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
    x = np.asarray(image, np.float32)
    wanted = len(how["channels"])
    if x.ndim == 3 and wanted == 1 and x.shape[2] == 3 and (x == x[..., :1]).all():
        x = x[..., 0]
    x = x[None] if x.ndim == 2 else np.moveaxis(x, -1, 0)
    if len(x) != wanted or image.mode in ("LA", "RGBA", "CMYK"):
        raise ValueError(f"has pixels of the kind {image.mode}; the network needs {wanted} channel(s)")
    check(x, how["channels"])
    size = (how["size"], how["size"])
    small = [  # Pillow's BILINEAR is antialiased where it makes smaller, just as torch's antialias=True
        np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
        for values in clip(x, how["channels"])
    ]
    logits = network(normalise(np.stack(small), how["channels"])[None])[0]
    mask = decide(stretch(logits, x.shape[1:]), how["threshold"])
    several = len(how["classes"]) > 1
    picture = Image.fromarray(mask if several else mask * np.uint8(255))
    if several:
        picture.putpalette([0, 0, 0, *(v for k in range(255) for v in COLOURS[k % len(COLOURS)])])
    picture.save(out)
