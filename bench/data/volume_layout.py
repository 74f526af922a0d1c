"""Which files belong to which case in a folder of volumes: the Decathlon's layout, and nnU-Net's.

Both hold ``dataset.json``, ``imagesTr/`` and ``labelsTr/``. The Decathlon's lists its files under
``training``; several channels are the fourth dimension of a file. nnU-Net's names a case
``case_0000.nii.gz``, one file a channel, and its label ``case.nii.gz``.

Decathlon: Antonelli et al., Nature Communications 13, 2022. nnU-Net: Isensee et al., Nature Methods
18, 2021.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.class_labels import named_labels
from bench.data.described import shown
from bench.data.nifti_names import ENDINGS, Files, ending_of, files_in
from bench.data.patients import nfc
from bench.errors import UserError
from bench.files.checked import check_name, inside, parse_json, unreadable

FOLDERS = ("imagesTr", "labelsTr")
UNLABELLED = "unlabelled"
LIKE_CT = re.compile(r"\bct|computed tomography|hounsfield", re.IGNORECASE)
OTHERWISE = ("nonorm", "rescale_to_0_1", "rgb_to_0_1")
"""What nnU-Net calls channels that it normalises otherwise."""
CHANNEL = re.compile(r"(.+)_(\d{4})")
"""nnU-Net's name of an image: the case and the channel."""


@dataclass(frozen=True)
class Entry:
    """One case: its files, one image or one a channel."""

    case: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Alone:
    """A case that has no label: its image, or one a channel."""

    case: str
    images: tuple[Path, ...]


@dataclass(frozen=True)
class Layout:
    """What a folder holds: modality of each channel, name of each label value; ``odd``: what to say.

    ``alone``: what lies in ``unlabelled/``.
    """

    entries: tuple[Entry, ...]
    modalities: tuple[str, ...]
    labels: dict[int, str]
    licence: str
    odd: tuple[str, ...] = ()
    alone: tuple[Alone, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All files, case by case, those without labels last."""
        labelled = [path for entry in self.entries for path in (*entry.images, entry.label)]
        return labelled + [path for one in self.alone for path in one.images]


def read_layout(root: Path) -> Layout:
    """Read and check ``dataset.json`` and which files are there; both layouts.

    Raises:
        UserError: no such file, not JSON, not as the layouts have it, a file missing or left over.
    """
    path = root / "dataset.json"
    content = _content(root, path)
    names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
        raise UserError(f"{path}: channel_names (nnU-Net) or modality (Decathlon) must name the channels")
    modalities = tuple(check_name(names[key], path) for key in sorted(names, key=_place))
    labels = named_labels(content.get("labels"), path)
    files = files_in(root, FOLDERS)
    listed = content.get("training")
    if isinstance(listed, list) and listed:
        entries = [_listed(root, item, len(modalities), files) for item in listed]
    else:
        entries = _found(root, len(modalities), content.get("file_ending"), files)
    cases = [entry.case for entry in entries]
    case, count = Counter(cases).most_common(1)[0]
    if count > 1:
        raise UserError(f"{path}: case {case} is listed more than once")
    _check_shared(path, entries)
    _check_left_over(root, files, entries, bool(listed))
    _check_count(content.get("numTraining"), len(cases), path)
    entries.sort(key=lambda entry: entry.case)  # the order of the list says nothing
    further = files_in(root, (UNLABELLED,))
    odd = [
        f"{found.others[0]}: no NIfTI file, {len(found.others)} such not read"
        for found in (files, further)
        if found.others
    ]
    odd += _odd_pairs(entries) if listed else []
    odd += [
        f"channel {name!r}: normalised per volume, as everything but 'CT' is; call it CT if it is one"
        for name in modalities
        if name.upper() != "CT" and LIKE_CT.search(name)
    ]
    odd += [
        f"channel {name!r}: nnU-Net's way of normalising it is not supported; normalised per volume"
        for name in modalities
        if name.casefold() in OTHERWISE
    ]
    licence = shown(content.get("licence") or content.get("license") or "")
    alone = _alone(further, len(modalities), bool(listed), {entry.case for entry in entries})
    return Layout(tuple(entries), modalities, labels, licence, tuple(odd), alone)


def _content(root: Path, path: Path) -> dict[str, Any]:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --data must name the dataset's folder")
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{root}: dataset.json is missing; the layout must be the Decathlon's or nnU-Net's"
        ) from None
    except OSError as error:
        raise UserError(unreadable(path, error)) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold keys and values (labels, modality or channel_names, ...)")
    if "dataset" in content:
        raise UserError(
            f"{path}: the key 'dataset' (nnU-Net's list of files elsewhere) is not supported; put the "
            "files into imagesTr/ and labelsTr/ and remove it"
        )
    return content


def _place(key: str) -> tuple[int, str]:
    """Orders channels by their number: "10" comes after "9"."""
    return (int(key), "") if key.isdecimal() and len(key) < 9 else (sys.maxsize, key)


def _listed(root: Path, item: Any, channels: int, files: Files) -> Entry:
    """An item of the Decathlon's list; one file a channel where nnU-Net 1 split them."""
    path = root / "dataset.json"
    try:
        image, label = (files.find(inside(root, item[kind], path), root) for kind in ("image", "label"))
    except (TypeError, KeyError):
        raise UserError(
            f"{path}: training must list image and label of every case, not {reprlib.repr(item)}"
        ) from None
    ending = ending_of(label.name)
    if not ending:
        raise UserError(f"{path}: lists {label.name}; files must be .nii.gz or .nii")
    case = check_name(nfc(label.name[: -len(ending)]), path)
    if not image.is_file():
        names = [f"{case}_{channel:04}{ending}" for channel in range(channels)]
        split = [files.find(image.with_name(name), root) for name in names]
        if split[0].is_file():
            return Entry(case, tuple(split), label)
    return Entry(case, (image,), label)


def _found(root: Path, channels: int, declared: Any, files: Files) -> list[Entry]:
    """nnU-Net's cases: what lies under ``labelsTr``."""
    path = root / "dataset.json"
    if declared is not None and declared not in ENDINGS:
        raise UserError(f"{path}: file_ending {declared!r} is not supported; must be .nii.gz or .nii")
    labels = {name: file for name, file in files.volumes.items() if name.startswith("labelsTr/")}
    if not labels:
        raise UserError(f"{root / 'labelsTr'}: no labels named *{declared or '.nii.gz'}")
    entries = []
    for name, label in sorted(labels.items()):
        ending = ending_of(name)
        if declared is not None and ending.casefold() != declared:
            raise UserError(
                f"{label}: ends in {ending}, but file_ending of dataset.json is {declared}; make them agree"
            )
        case = check_name(name.removeprefix("labelsTr/")[: -len(ending)], label)
        images = []
        for channel in range(channels):
            image = files.find(root / "imagesTr" / f"{case}_{channel:04}{ending}", root)
            if not image.is_file():
                raise UserError(f"{image}: missing; labelsTr/{label.name} has no image of that channel")
            images.append(image)
        entries.append(Entry(case, tuple(images), label))
    return entries


def _alone(files: Files, channels: int, listed: bool, labelled: set[str]) -> tuple[Alone, ...]:
    """The cases of ``unlabelled/``, named as images are: in nnU-Net's layout one file a channel.

    Raises:
        UserError: a channel that is missing or too many, or a case that has a label as well.
    """
    found: dict[str, dict[int, Path]] = {}
    for name, path in files.volumes.items():
        stem = name.removeprefix(f"{UNLABELLED}/")[: -len(ending_of(name))]
        match = None if listed else CHANNEL.fullmatch(stem)
        if match is None and not listed:
            raise UserError(f"{path}: must end with its channel, as in case_0000{ending_of(name)}")
        case, channel = (stem, 0) if match is None else (match[1], int(match[2]))
        found.setdefault(check_name(case, path), {})[channel] = path
    wanted = list(range(1 if listed else channels))
    for case, images in found.items():
        path = next(iter(images.values()))
        if case in labelled:
            raise UserError(f"{path}: case {case} has a label; an image has one or has none")
        if sorted(images) != wanted:
            raise UserError(
                f"{path}: case {case} has the channels {', '.join(map(str, sorted(images)))}; must have "
                f"{', '.join(map(str, wanted))}"
            )
    return tuple(
        Alone(case, tuple(path for _, path in sorted(own.items()))) for case, own in sorted(found.items())
    )


def _odd_pairs(entries: Iterable[Entry]) -> list[str]:
    """Images whose label has another name, as where a list was shuffled."""
    odd = [
        (entry.images[0].name, entry.label.name)
        for entry in entries
        if len(entry.images) == 1 and not nfc(entry.images[0].name).startswith(entry.case)
    ]
    return (
        [f"imagesTr/{odd[0][0]}: its label is {odd[0][1]}, of {len(odd)} cases the names differ"]
        if odd
        else []
    )


def _check_shared(where: Path, entries: Iterable[Entry]) -> None:
    """Refuse a file that two cases have, or that is image and label at once."""
    used = Counter(path for entry in entries for path in (*entry.images, entry.label))
    path, count = used.most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{where}: {path.parent.name}/{path.name} is used {count} times; every image and every label "
            "of a case is a file of its own"
        )


def _check_left_over(root: Path, files: Files, entries: Iterable[Entry], listed: bool) -> None:
    """Refuse an image or a label that no case has."""
    used = {path for entry in entries for path in (*entry.images, entry.label)}
    extra = next((path for path in files.volumes.values() if path not in used), None)
    if extra is None:
        return
    if listed:
        raise UserError(f"{extra}: dataset.json doesn't list it under training; list it or remove it")
    name = nfc(extra.name)
    match = CHANNEL.fullmatch(name[: -len(ending_of(name))])
    if match is None:
        raise UserError(f"{extra}: must end with its channel, as in case_0000{ending_of(name)}")
    if match[1] in {entry.case for entry in entries}:
        raise UserError(
            f"{extra}: dataset.json names no channel {int(match[2])}; name it or remove the file"
        )
    raise UserError(
        f"{extra}: has no label labelsTr/{match[1]}{ending_of(name)}; add it or remove the image"
    )


def _check_count(declared: Any, count: int, path: Path) -> None:
    """``numTraining`` is there for this: a download that broke off is noticed."""
    number = (
        int(declared) if isinstance(declared, str) and re.fullmatch("[0-9]{1,9}", declared) else declared
    )
    if declared is not None and number != count:
        raise UserError(
            f"{path}: numTraining is {reprlib.repr(declared)}, but {count} cases are there; add those that "
            "are missing, or correct it"
        )
