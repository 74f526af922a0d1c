"""Small 2-D images and masks in files, for tests; some that Pillow itself can't write."""

import csv
import json
import struct
import zlib

import numpy as np
from PIL import Image

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""PNG's kinds of colour."""


def write_png(path, pixels, kind=GREY, bits=8, palette=()):
    """A PNG of ``(height, width[, channels])`` written byte by byte."""
    height, width = pixels.shape[:2]
    if bits == 16:
        rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        rows = pixels.astype(np.uint8).reshape(height, -1)
    else:
        singles = (pixels[..., None].astype(np.uint8) >> np.arange(bits)[::-1]) & 1
        rows = np.packbits(singles.reshape(height, -1), axis=1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))]
    if palette:
        chunks.append((b"PLTE", bytes(value for colour in palette for value in colour)))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write_tiff(path, pixels, photometric=1, sample_format=1, extra=()):
    """A TIFF of ``(height, width[, channels])``, one strip, little-endian, uncompressed."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    size = pixels.dtype.itemsize
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    behind = 8 + len(data)
    bits_at, form_at = behind, behind + 2 * samples
    start = form_at + 2 * samples

    def shorts(values, place):
        if len(values) > 2:
            return place
        return int.from_bytes(struct.pack("<" + "H" * len(values), *values).ljust(4, b"\0"), "little")

    bits, forms = [8 * size] * samples, [sample_format] * samples
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, shorts(bits, bits_at)), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height),
        (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    if extra:
        entries.append((338, 3, len(extra), shorts(extra, 0)))
    entries.append((339, 3, samples, shorts(forms, form_at)))
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries)
    lists = struct.pack("<" + "H" * samples, *bits) + struct.pack("<" + "H" * samples, *forms)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, start) + data + lists + directory + b"\0\0\0\0")


def save(path, pixels, orientation=1, **options):
    """Whatever Pillow makes of an array or takes as an image, with an EXIF orientation."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def scene(seed, side=20, classes=2):
    """A colour image ``(side, side, 3)`` with a disc of each class in a colour of its own, and the mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    mask = np.zeros((side, side), np.uint8)
    for label in range(1, classes + 1):
        y, x = side * (0.3 + 0.4 * (label - 1)), side * 0.5 + rng.uniform(-2, 2)
        mask[(rows - y) ** 2 + (columns - x) ** 2 < (side / 6) ** 2] = label
    colours = np.array([(90, 60, 60), (200, 80, 60), (60, 90, 210), (80, 200, 90)])
    return np.clip(colours[mask] + rng.normal(0, 12, (side, side, 3)), 0, 255).astype(np.uint8), mask


def write_index(root, rows, header=("file", "person")):
    with (root / "index.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


def write_folder(root, people=6, each=2, classes=2, colour=True, side=20):
    """``images/``, ``masks/`` and ``index.csv`` with a column ``person``."""
    rows = []
    for k in range(people * each):
        image, mask = scene(k, side, classes)
        name = f"p{k // each:02}_{k % each}.png"
        save(root / "images" / name, image if colour else image[..., 0])
        save(root / "masks" / name, mask)
        rows.append((name, f"p{k // each:02}"))
    write_index(root, rows)
    return root


def add_unlabelled(root, people, each=2, side=20):
    """Further grey or colour images as the folder has them, in ``unlabelled/`` and ``index.csv``."""
    first = next((root / "images").iterdir())
    rows = []
    for k, person in enumerate(person for person in people for _ in range(each)):
        image, _ = scene(1000 + k, side)
        grey = Image.open(first).mode == "L"
        save(root / "unlabelled" / f"{person}_u{k}.png", image[..., 0] if grey else image)
        rows.append((f"{person}_u{k}.png", person))
    with (root / "index.csv").open("a", newline="") as handle:
        csv.writer(handle).writerows(rows)


def describe(root, **content):
    (root / "dataset.json").write_text(json.dumps(content))
