"""A folder of 3-D volumes in the layout of the Medical Segmentation Decathlon or of nnU-Net.

Both hold ``dataset.json``, ``imagesTr/`` and ``labelsTr/``. The Decathlon's lists its files under
``training``; several channels are the fourth dimension of a file. nnU-Net's names a case
``case_0000.nii.gz``, one file a channel, and its label ``case.nii.gz``.

Decathlon: Antonelli et al., Nature Communications 13, 2022. nnU-Net: Isensee et al., Nature Methods
18, 2021.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import nifti
from bench.data.dataset import Dataset, fingerprint
from bench.data.decoded import decode_once
from bench.errors import UserError
from bench.files.checked import check_name, inside, parse_json
from bench.files.checksums import digest

ENDINGS = (".nii.gz", ".nii")
MOST_LABELS = 256
"""Masks are bytes."""
LONGEST_LICENCE = 200
TAKEN = ("slice", "val", "val_last", "slice_val")
"""Names that ``dice_NAME`` has in the summary already."""
NO_KEY = "no patient key: a volume is taken for a patient"


@dataclass(frozen=True)
class Entry:
    """One case: its files, one image or one a channel."""

    case: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Layout:
    """What ``dataset.json`` says: modality of each channel, name of each label value."""

    entries: tuple[Entry, ...]
    modalities: tuple[str, ...]
    labels: dict[int, str]
    licence: str


def load(
    name: str,
    root: Path,
    patient: Callable[[str], str] | None = None,
    cache: Path | None = None,
    window: tuple[float, float] | None = None,
    note: str = NO_KEY,
) -> Dataset:
    """Read the folder ``root``.

    Args:
        patient: a case's name to its patient; None: every volume is a patient of its own.
        window: for CT; None leaves it to the training volumes (``bench/data/volumes.py``).

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    layout = read_layout(root)
    channels = len(layout.modalities)
    spacing = []
    for entry in layout.entries:
        per_file = 1 if len(entry.images) == channels else channels
        label = nifti.open_image(entry.label)
        for path in entry.images:
            nifti.check_pair(nifti.open_image(path, per_file), label)
        spacing.append(nifti.canonical_spacing(label))
    cases = [entry.case for entry in layout.entries]
    patients = [
        check_name(patient(case), f"the patient of {case!r}") if patient else case for case in cases
    ]
    files = [path for entry in layout.entries for path in (*entry.images, entry.label)]
    declared = json.dumps([cases, layout.modalities, sorted(layout.labels.items())])
    stored_as = f"{name}-{digest('volumes', declared, *(_checksum(path) for path in files))}"
    images, masks, contents = decode_once(cache, stored_as, len(cases), lambda: _decode(layout))
    decides = [layout.modalities, sorted(layout.labels.items()), window]
    return Dataset(
        name=name,
        cases=tuple(cases),
        patients=tuple(patients),
        images=images,
        masks=masks,
        classes=tuple(layout.labels[value] for value in sorted(layout.labels)[1:]),
        fingerprint=fingerprint(cases, patients, contents, spacing, decides),
        window=window,
        note=note,
        licence=layout.licence,
        spacing=tuple(spacing),
        modalities=layout.modalities,
        stored_as=stored_as,
        contents=tuple(contents),
    )


def by_key(pattern: str) -> Callable[[str], str]:
    """``--patient-key``: the groups of a regular expression (without groups, its match) name the patient.

    Raises:
        UserError: not a regular expression, or a case in which it finds nothing.
    """
    try:
        key = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--patient-key {pattern!r}: not a regular expression ({error})") from None

    def patient(case: str) -> str:
        match = key.search(case)
        found = "-".join(filter(None, match.groups() or (match[0],))) if match else ""
        if not found:
            raise UserError(f"--patient-key {pattern!r}: finds no patient in the case {case!r}")
        return found

    return patient


def read_layout(root: Path) -> Layout:
    """Read and check ``dataset.json``; both layouts.

    Raises:
        UserError: no such file, not JSON, or not as the layouts have it.
    """
    path = root / "dataset.json"
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --data must name the dataset's folder")
    if not path.is_file():
        raise UserError(f"{root}: dataset.json is missing; the layout must be the Decathlon's or nnU-Net's")
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold keys and values (labels, modality or channel_names, ...)")
    names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
        raise UserError(f"{path}: channel_names (nnU-Net) or modality (Decathlon) must name the channels")
    modalities = tuple(check_name(names[key], path) for key in sorted(names, key=_place))
    labels = _labels(content.get("labels"), path)
    listed = content.get("training")
    if isinstance(listed, list) and listed:
        entries = [_listed(root, item, len(modalities), path) for item in listed]
    else:
        entries = _found(root, len(modalities), str(content.get("file_ending", ".nii.gz")), path)
    cases = [entry.case for entry in entries]
    case, count = Counter(cases).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}: case {case} is listed more than once")
    entries.sort(key=lambda entry: entry.case)  # the order of the list says nothing
    licence = content.get("licence") or content.get("license") or ""
    return Layout(tuple(entries), modalities, labels, " ".join(str(licence).split())[:LONGEST_LICENCE])


def _place(key: str) -> tuple[int, str]:
    """Orders channels by their number: "10" comes after "9"."""
    return (int(key), "") if key.isdecimal() and len(key) < 9 else (sys.maxsize, key)


def _labels(raw: Any, path: Path) -> dict[int, str]:
    """Names by label value: the Decathlon pairs them as ``"1": name``, nnU-Net as ``name: 1``."""
    labels: dict[int, str] = {}
    for key, value in raw.items() if isinstance(raw, dict) else [("labels", raw)]:
        number, name = (key, value) if key.isdecimal() and isinstance(value, str) else (value, key)
        if isinstance(number, str) and number.isdecimal() and len(number) < 9:
            number = int(number)
        if not isinstance(name, str) or not isinstance(number, int) or isinstance(number, bool):
            raise UserError(
                f"{path}: labels must pair each name with one whole number, not {reprlib.repr(raw)}"
            )
        if number in labels or name in labels.values():
            raise UserError(f"{path}: labels name {name!r} or {number} twice")
        labels[number] = check_name(name, path)
    if 0 not in labels or len(labels) < 2:
        raise UserError(f"{path}: labels must name 0, the background, and at least one class")
    if min(labels) < 0 or len(labels) > MOST_LABELS:
        raise UserError(f"{path}: labels must number {MOST_LABELS} values at most, from 0 upwards")
    if "ignore" in labels.values():
        raise UserError(f"{path}: an 'ignore' label is not supported; every voxel needs its class")
    for name in labels.values():
        if name in TAKEN or name.removesuffix("_val") in {*labels.values()} - {name}:
            raise UserError(f"{path}: a class can't be called {name!r}: dice_{name} is a column already")
    return labels


def _listed(root: Path, item: Any, channels: int, path: Path) -> Entry:
    """An item of the Decathlon's list; one file a channel where nnU-Net 1 split them."""
    try:
        image, label = (inside(root, item[kind], path) for kind in ("image", "label"))
    except (TypeError, KeyError):
        raise UserError(
            f"{path}: training must list image and label of every case, not {reprlib.repr(item)}"
        ) from None
    case, ending = _stem(label, path)
    split = tuple(image.with_name(f"{case}_{channel:04}{ending}") for channel in range(channels))
    if not image.is_file() and split[0].is_file():
        return Entry(case, split, label)
    return Entry(case, (image,), label)


def _found(root: Path, channels: int, ending: str, path: Path) -> list[Entry]:
    """nnU-Net's cases: what lies under ``labelsTr``."""
    if ending not in ENDINGS:
        raise UserError(f"{path}: file_ending {ending!r} is not supported; must be .nii.gz or .nii")
    files = sorted(p for p in (root / "labelsTr").glob(f"*{ending}") if not p.name.startswith("."))
    if not files:
        raise UserError(f"{root / 'labelsTr'}: no labels named *{ending}")
    entries = []
    for label in files:
        case = check_name(label.name.removesuffix(ending), label)
        images = [root / "imagesTr" / f"{case}_{channel:04}{ending}" for channel in range(channels)]
        missing = [image for image in images if not image.is_file()]
        if missing:
            raise UserError(f"{missing[0]}: missing; labelsTr/{label.name} has no image of that channel")
        entries.append(Entry(case, tuple(images), label))
    return entries


def _stem(label: Path, path: Path) -> tuple[str, str]:
    for ending in ENDINGS:
        if label.name.endswith(ending):
            return check_name(label.name.removesuffix(ending), path), ending
    raise UserError(f"{path}: lists {label.name}; files must be .nii.gz or .nii")


def _checksum(path: Path) -> str:
    """Of the content, without holding it in memory."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None


def _decode(layout: Layout) -> tuple[list, list]:
    images, masks = [], []
    channels = len(layout.modalities)
    for entry in layout.entries:
        per_file = 1 if len(entry.images) == channels else channels
        arrays = [nifti.canonical_array(nifti.open_image(path, per_file)) for path in entry.images]
        image = np.stack(arrays) if per_file == 1 else np.moveaxis(arrays[0], -1, 0)
        label = nifti.canonical_array(nifti.open_image(entry.label))
        images.append(nifti.intensities(image))
        masks.append(nifti.class_indices(label, entry.label, layout.labels))
    return images, masks
