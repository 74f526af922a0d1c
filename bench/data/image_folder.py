"""A folder of 2-D images with masks: ``images/``, ``masks/`` and ``index.csv``.

``index.csv`` has a column ``file`` and the patient key's column, and may have ``spacing_x`` and
``spacing_y`` in mm and ``mask`` (empty: the image has none); further columns are ignored. ``unlabelled/``
may hold images without masks. ``dataset.json`` says what the values in masks mean, where they don't say it
themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.dataset import Dataset, Unlabelled, content_of, fingerprint, nothing
from bench.data.decoded import Decoded, decode_once
from bench.data.described import Known, described
from bench.data.mask_values import class_indices, class_names
from bench.data.odd_content import check_not_the_same
from bench.data.pairs import Alone, Pair, find_pairs
from bench.data.patients import Patients
from bench.data.pictures import Picture, RawMask, is_grey, read_grey, read_image, read_mask
from bench.errors import UserError
from bench.files.checksums import digest

__all__ = ["Patients", "holds_images", "load", "read", "read_grey"]


def holds_images(root: Path) -> bool:
    """Whether ``root`` looks like such a folder, whole or not."""
    return any((root / name).exists() for name in ("images", "masks", "index.csv"))


def load(
    name: str,
    root: Path,
    patient_column: str,
    class_name: str = "",
    cache: Path | None = None,
    note: str = "",
    licence: str = "",
) -> Dataset:
    """Read the folder ``root`` of a registered dataset.

    Args:
        class_name: of the one class; without it ``dataset.json`` names them, or the masks' values do.
        note: what is said of the dataset; without it the name in ``dataset.json``.
        licence: of the images; without it that of ``dataset.json``.

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    known = described(root)
    labels = {0: "background", 1: class_name} if class_name else known.labels
    known = Known(labels, known.spacing, note or known.note, licence or known.licence)
    return _read(name, root, Patients(patient_column), known, cache, registered=bool(class_name))


def read(name: str, root: Path, patients: Patients, cache: Path | None = None) -> Dataset:
    """Read a folder that nobody has registered: what it is, it says itself.

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    known = described(root)
    by = (
        f"column {patients.column!r} of index.csv"
        if patients.column
        else f"key {patients.key!r} in files' names"
    )
    note = "; ".join(filter(None, (known.note, f"patients by the {by}")))
    return _read(name, root, patients, Known(known.labels, known.spacing, note, known.licence), cache)


def _read(
    name: str, root: Path, patients: Patients, known: Known, cache: Path | None, registered: bool = False
) -> Dataset:
    pairs, alone = find_pairs(root, patients)
    images, masks = [pair.image for pair in pairs], [pair.mask for pair in pairs]
    parts: list[str | bytes] = [path.name for path in images]
    parts += [_bytes(path) for path in (*images, *masks)]
    same = [path.name for path in images] == [path.name for path in masks]
    if not registered or not same:
        labels = None if known.labels is None else sorted(known.labels.items())
        parts += ["in full", json.dumps([[path.name for path in masks], labels])]
    if alone:
        parts += ["unlabelled", *(part for one in alone for part in (one.case, _bytes(one.image)))]
    stored_as = f"{name}-{digest(*parts)}"
    odd: list[str] = []
    decoded, unlabelled = _decoded(cache, stored_as, (pairs, alone), known.labels, odd)
    if known.labels is None:
        classes = class_names(max(int(mask.max(initial=0)) for mask in decoded.masks))
    else:
        classes = tuple(known.labels[value] for value in sorted(known.labels)[1:])
    spacing = _spacing(root, pairs, known.spacing)
    note = known.note
    if not registered:
        note = "; ".join(filter(None, (note, "" if spacing else "no spacing: distances are in pixels")))
    cases, people = tuple(pair.case for pair in pairs), tuple(pair.patient for pair in pairs)
    decides: object = classes[0] if len(classes) == 1 else classes
    if alone:
        contents = [content_of(image, nothing(image)) for image in unlabelled.images]
        decides = [decides, *zip(unlabelled.cases, unlabelled.patients, contents, strict=True)]
    return Dataset(
        name=name,
        cases=cases,
        patients=people,
        images=decoded.images,
        masks=decoded.masks,
        classes=classes,
        fingerprint=fingerprint(cases, people, decoded.contents, spacing, declared=decides),
        note=note,
        licence=known.licence,
        spacing=spacing,
        stored_as=stored_as,
        contents=tuple(decoded.contents),
        warnings=tuple(odd),
        unlabelled=unlabelled,
        values=tuple(sorted(known.labels or ())[1:]),
    )


def _decoded(
    cache: Path | None,
    key: str,
    files: tuple[list[Pair], list[Alone]],
    labels: dict[int, str] | None,
    odd: list[str],
) -> tuple[Decoded, Unlabelled]:
    """Images with masks, and images without; kept together, the latter beside empty masks."""
    pairs, alone = files
    count = len(pairs)
    found = decode_once(cache, key, count + len(alone), lambda: _decode(pairs, alone, labels, odd))
    cases, people = tuple(one.case for one in alone), tuple(one.patient for one in alone)
    kept = Decoded(*(part[:count] for part in found))
    unlabelled = Unlabelled(cases, people, tuple(found.images[count:]))
    named = [(pair.image.name, pair.patient) for pair in pairs]
    check_not_the_same(kept.images, named, unlabelled, [one.image for one in alone])
    return kept, unlabelled


def _spacing(root: Path, pairs: Sequence[Pair], of_all: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """Millimetres between rows and columns of each image's pixels; empty where nobody says it."""
    own = tuple(pair.spacing for pair in pairs)
    for pair in pairs:
        if of_all and pair.spacing and not np.allclose(of_all, pair.spacing, rtol=1e-3):
            y, x = pair.spacing
            raise UserError(
                f"{root / 'index.csv'}: {pair.image.name} has spacing_y {y:g} and spacing_x {x:g}, "
                f"dataset.json pixel_spacing {of_all[0]:g}, {of_all[1]:g} (rows first); leave one out"
            )
    return own if own[0] else (of_all,) * len(pairs) if of_all else ()


def _decode(
    pairs: Sequence[Pair], alone: Sequence[Alone], labels: dict[int, str] | None, odd: list[str]
) -> tuple[list, list]:
    """Images and masks of all pairs and images alone; what is odd about them is added to ``odd``."""
    pictures: list[Picture] = []
    masks: list[RawMask] = []
    for pair in pairs:
        picture, mask = read_image(pair.image), read_mask(pair.mask)
        if picture.pixels.shape[:2] != mask.values.shape:
            turned = " once turned as its EXIF orientation says" if picture.turned or mask.turned else ""
            raise UserError(
                f"{pair.mask}: mask is {_size(mask.values)}, its image {_size(picture.pixels)}{turned}; "
                "they must have the same size"
            )
        pictures.append(picture)
        masks.append(mask)
    half_turned = [
        pair
        for pair, picture, mask in zip(pairs, pictures, masks, strict=True)
        if picture.turned != mask.turned
    ]
    if half_turned:
        odd.append(
            f"images/{half_turned[0].image.name}: of {len(half_turned)} cases only the image or only the "
            "mask has an EXIF orientation; each is turned as its own file says, see that they still fit"
        )
    indices, said = class_indices([pair.mask for pair in pairs], masks, labels)
    odd += said
    pictures += [read_image(one.image) for one in alone]
    paths = [*(pair.image for pair in pairs), *(one.image for one in alone)]
    images = _with_channels(paths, pictures, odd)
    return images, [*indices, *map(nothing, images[len(pairs) :])]


def _with_channels(paths: Sequence[Path], pictures: Sequence[Picture], odd: list[str]) -> list[np.ndarray]:
    """Images ``(channels, height, width)``: all of three channels, or all grey.

    Raises:
        UserError: grey and colour mixed.
    """
    stored = [path for path, picture in zip(paths, pictures, strict=True) if picture.pixels.ndim == 3]
    colour = [path for path, picture in zip(paths, pictures, strict=True) if not is_grey(picture.pixels)]
    grey = [path for path in paths if path not in set(stored)]
    if colour and grey:
        raise UserError(
            f"{colour[0]} is in colour and {grey[0]} is grey; a dataset must hold images of one kind, "
            "so save all as RGB or all as grey"
        )
    deep = [path for path, picture in zip(paths, pictures, strict=True) if picture.pixels.dtype != np.uint8]
    if deep and len(deep) < len(paths):
        flat = next(path for path in paths if path not in set(deep))
        odd.append(
            f"images/{deep[0].name} has more than 8 bits, {flat.name} has 8: are their values on one scale?"
        )
    if colour:
        return [np.ascontiguousarray(np.moveaxis(picture.pixels, -1, 0)) for picture in pictures]
    if stored:
        odd.append(
            f"images/{stored[0].name}: {len(stored)} of {len(paths)} images are stored as RGB with three "
            "equal channels; read as grey"
        )
    return [_first(picture.pixels)[None] for picture in pictures]


def _first(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 0])


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); it must be an image's file") from None


def _size(array: np.ndarray[Any, Any]) -> str:
    return "x".join(str(side) for side in array.shape[:2])
