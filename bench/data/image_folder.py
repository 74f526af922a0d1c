"""A folder of 2-D images with masks: ``images/``, ``masks/`` (same file names) and ``index.csv``.

``index.csv`` has a column ``file`` and the patient key's column; further columns are ignored. Masks
hold 0 for background and 255 (or 1) for the one class.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset, fingerprint
from bench.data.decoded import decode_once
from bench.errors import UserError
from bench.files.checked import check_name
from bench.files.checksums import digest

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's kinds of images with eight bits a channel or fewer."""


def load(
    name: str,
    root: Path,
    patient_column: str,
    class_name: str,
    cache: Path | None = None,
    note: str = "",
    licence: str = "",
) -> Dataset:
    """Read the folder ``root``.

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    files, patients = read_index(root, patient_column)
    content = [_bytes(root / kind / file) for kind in ("images", "masks") for file in files]
    stored_as = f"{name}-{digest(*files, *content)}"
    images, masks, contents = decode_once(cache, stored_as, len(files), lambda: _decode(root, files))
    cases = tuple(Path(file).stem for file in files)
    return Dataset(
        name=name,
        cases=cases,
        patients=tuple(patients),
        images=images,
        masks=masks,
        classes=(class_name,),
        fingerprint=fingerprint(cases, patients, contents, declared=class_name),
        note=note,
        licence=licence,
        stored_as=stored_as,
    )


def read_index(root: Path, patient_column: str) -> tuple[list[str], list[str]]:
    """File names and patients of ``index.csv``, checked against the two folders; sorted by case.

    The order of rows says nothing, so that a re-sorted index is the same data.
    """
    index = root / "index.csv"
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --data must name the dataset's folder")
    if not index.is_file():
        raise UserError(f"{root}: index.csv is missing; see docs/adding-a-dataset.md for the layout")
    try:
        with index.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{index}: not a CSV file in UTF-8 ({error})") from None
    for column in ("file", patient_column):
        if list(columns).count(column) != 1:
            what = "is there twice" if column in columns else "is missing"
            raise UserError(f"{index}: column {column!r} {what}; found: {', '.join(columns)}")
    for line, row in rows:
        file, patient = row["file"], row[patient_column]
        if not file or not patient:
            raise UserError(f"{index}: line {line} has no {'file' if not file else patient_column}")
        if Path(file).name != file:
            raise UserError(f"{index}: line {line}: {file!r} must be a plain file name")
        for name in (file, patient):
            check_name(name, f"{index}: line {line}")
    files = [row["file"] for _, row in rows]
    for what, names in (("file", files), ("case", [Path(file).stem for file in files])):
        name, count = Counter(names).most_common(1)[0] if names else ("", 0)
        if count > 1:
            raise UserError(f"{index}: {name} is listed {count} times; one row a {what}")
    _check_folder(root, "images", files)
    _check_folder(root, "masks", files)
    if not files:
        raise UserError(f"{root}: no images; put them under images/ with a row each in index.csv")
    by_case = sorted(((row["file"], row[patient_column]) for _, row in rows), key=lambda r: Path(r[0]).stem)
    return [file for file, _ in by_case], [patient for _, patient in by_case]


def _check_folder(root: Path, kind: str, files: list[str]) -> None:
    folder = root / kind
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    for file in files:
        if file not in there:
            what = "image" if kind == "images" else "mask"
            raise UserError(f"{folder / file}: missing; index.csv lists it but it has no {what}")
    extra = sorted(there - set(files))
    if extra:
        raise UserError(f"{folder / extra[0]}: no row in index.csv; add one or remove the file")


def _decode(root: Path, files: list[str]) -> tuple[list, list]:
    images, masks = [], []
    for file in files:
        image, mask = read_grey(root / "images" / file), read_grey(root / "masks" / file)
        if image.shape != mask.shape:
            raise UserError(
                f"{root / 'masks' / file}: mask is {_size(mask)}, its image {_size(image)}; "
                "they must have the same size"
            )
        images.append(image[None])
        masks.append(_labels(root / "masks" / file, mask))
    return images, masks


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); it must be an image's file") from None


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image as grey values ``(height, width)``.

    Raises:
        UserError: not an image, damaged, of more than 8 bits a channel, or so large that it may be a trap.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                mode = image.mode
                pixels = np.asarray(image.convert("L"))
    except Exception as error:  # what a decoder makes of damaged bytes may be any
        raise UserError(f"{path}: not a readable image ({error})") from None
    if mode not in MODES:  # Pillow would cut off what is above 255
        raise UserError(f"{path}: has pixels of the kind {mode}; images must have 8 bits a channel")
    return pixels


def _labels(path: Path, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    values = set(np.unique(mask).tolist())
    if not (values <= {0, 255} or values <= {0, 1}):
        odd = sorted(values - {0, 255})[0]
        raise UserError(f"{path}: undeclared label {odd}; a mask holds 0 and 255 (or 0 and 1)")
    return (mask > 0).astype(np.uint8)


def _size(array: NDArray[np.uint8]) -> str:
    return "x".join(str(side) for side in array.shape)
