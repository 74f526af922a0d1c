"""Registry of datasets. A new one is a function below (or a file of its own) and a line in ``DATASETS``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bench.data import image_folder, phantom, volume_folder
from bench.data.check_dataset import check_dataset
from bench.data.dataset import Dataset
from bench.data.patients import Patients, by_key
from bench.errors import UserError
from bench.files.checked import check_name, parse_json

__all__ = ["DATASETS", "Dataset", "Source", "load", "locate", "register", "source"]

LAYOUTS = "images/, masks/ and index.csv (2-D images) or dataset.json, imagesTr/ and labelsTr/ (volumes)"
"""What a folder must hold."""
OF_VOLUMES = {"training", "modality", "channel_names", "numTraining", "file_ending"}
"""Keys of a ``dataset.json`` in the Decathlon's or nnU-Net's layout."""


@dataclass(frozen=True)
class Source:
    """How to read a dataset: ``read(root, cache)``; built-in ones need no ``root``."""

    read: Callable[[Path, Path | None], Dataset]
    built_in: bool
    image_size: int
    """The default side that networks see; of volumes a patch's, as far as they fill it."""
    from_outside: bool = False
    """Whether a plug-in brings it: then what it reads is checked."""


def _phantom(root: Path, cache: Path | None) -> Dataset:
    return phantom.generate(cache=cache)


def _phantom_empty(root: Path, cache: Path | None) -> Dataset:
    return phantom.generate(cache=cache, empty=2)


def _liver_ct(root: Path, cache: Path | None) -> Dataset:
    return image_folder.load(
        "liver-ct",
        root,
        patient_column="volume",
        class_name="liver",
        cache=cache,
        note="8-bit slices without spacing: distances are in pixels; a CT volume is taken for a patient",
        licence="CC BY-SA 4.0, Medical Segmentation Decathlon Task03",
    )


def _sunnybrook_lv(root: Path, cache: Path | None) -> Dataset:
    found = image_folder.load(
        "sunnybrook-lv",
        root,
        patient_column="patient",
        class_name="left ventricle",
        cache=cache,
        note="8-bit slices without spacing: distances are in pixels; each slice is stretched to 0-255 by "
        "itself; every patient at two moments of the heartbeat",
        licence="public domain, Sunnybrook Cardiac Data",
    )
    misplaced = found.patients.count("N-06")
    said = (f"the {misplaced} masks of patient N-06 lie beside the ventricle",) if misplaced else ()
    return replace(found, warnings=(*found.warnings, *said))


def _phantom_3d(root: Path, cache: Path | None) -> Dataset:
    return phantom.volumes(cache=cache)


def _phantom_3d_128(root: Path, cache: Path | None) -> Dataset:
    return phantom.volumes(side=128, cache=cache, name="phantom-3d-128")


def _hippocampus(root: Path, cache: Path | None) -> Dataset:
    def person(case: str) -> str:
        number = re.search(r"\d+", case)
        if number is None:
            raise UserError(f"{root}: case {case!r} has no number; must be named hippocampus_NNN")
        return f"{(int(number[0]) + 1) // 2:03}"

    return volume_folder.load(
        "hippocampus",
        root,
        person,
        cache,
        note="left and right side of a person are separate volumes; that 2k-1 and 2k belong together is "
        "inferred from their intensities, no published key was found",
    )


def _liver(root: Path, cache: Path | None) -> Dataset:
    return volume_folder.load("liver", root, None, cache, window=(-160.0, 240.0))


DATASETS: dict[str, Source] = {
    "phantom": Source(_phantom, built_in=True, image_size=64),
    "phantom-empty": Source(_phantom_empty, built_in=True, image_size=64),
    "phantom-3d": Source(_phantom_3d, built_in=True, image_size=32),
    "phantom-3d-128": Source(_phantom_3d_128, built_in=True, image_size=64),
    "liver-ct": Source(_liver_ct, built_in=False, image_size=256),
    "sunnybrook-lv": Source(_sunnybrook_lv, built_in=False, image_size=256),
    "hippocampus": Source(_hippocampus, built_in=False, image_size=64),
    "liver": Source(_liver, built_in=False, image_size=96),
}


Read = TypeVar("Read", bound=Callable[[Path, Path | None], Dataset])


def register(name: str, image_size: int, built_in: bool = False) -> Callable[[Read], Read]:
    """Make a dataset known by a name: ``@register("my-scans", image_size=128)`` above a function.

    The function is called with the folder of ``--data`` and a folder for decoded arrays, or None, and gives
    a ``Dataset``; ``bench.data.image_folder.load`` and ``volume_folder.load`` do most of that.

    Args:
        image_size: the side that networks see where the user names none.
        built_in: whether it needs no folder.

    Raises:
        ValueError: a name that another dataset has.
    """

    def decorate(read: Read) -> Read:
        if name in DATASETS:
            raise ValueError(
                f"the dataset {name!r} is there already, in {DATASETS[name].read.__module__}; "
                f"{read.__module__} needs another name"
            )
        check_name(name, "a dataset's name")
        DATASETS[name] = Source(read, built_in, image_size, from_outside=True)
        return read

    return decorate


def source(name: str) -> Source:
    """The registered dataset of that name; any other name is that of a folder of images or volumes."""

    def read(root: Path, cache: Path | None) -> Dataset:
        return _read_folder(name, root, cache, Patients(), "")

    return DATASETS.get(name) or Source(read, built_in=False, image_size=64)


def locate(name: str, root: Path | None) -> tuple[str, Path | None]:
    """``--dataset`` and ``--data`` to a dataset's short name and its folder.

    A name that isn't registered may be the path of a folder of 2-D images or of volumes, or the name that
    such a folder, given by ``--data``, shall have.

    Raises:
        UserError: neither registered nor such a folder; or none is there any more.
    """
    if name in DATASETS:
        return name, root
    folder = root or Path(name)
    if root is not None and not _is_folder(root):
        raise UserError(f"{root}: no such folder; --data must name the dataset's folder")
    if not _is_folder(folder) or not (_holds_images(folder) or (folder / "dataset.json").exists()):
        found = f"{folder} holds neither" if _is_folder(folder) else f"{folder} is no folder"
        raise UserError(
            f"--dataset {name!r} is unknown; known: {', '.join(DATASETS)}, or the path of a folder with "
            f"{LAYOUTS}; {found}"
        )
    try:
        short = Path(name).resolve().name
    except (OSError, ValueError):
        short = name
    if short in DATASETS:
        raise UserError(
            f"--dataset {name!r}: {short} is a registered dataset; must be --dataset {short} (with --data) "
            "for that one, for your own another name: rename the folder, or --dataset NAME --data FOLDER"
        )
    return check_name(short, f"--dataset {name!r}"), folder


def _holds_images(folder: Path) -> bool:
    """Whether a folder is one of 2-D images; a ``dataset.json`` as volumes have it decides against that.

    Raises:
        UserError: it is both.
    """
    if not image_folder.holds_images(folder):
        return False
    if (folder / "images").is_dir() and (folder / "imagesTr").is_dir():
        raise UserError(f"{folder}: holds images/ and imagesTr/; must hold one dataset, {LAYOUTS}")
    try:
        content = parse_json((folder / "dataset.json").read_bytes())
    except (OSError, ValueError):  # whoever reads it says so
        return True
    return not (isinstance(content, dict) and content.keys() & OF_VOLUMES)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no file system takes
        return False


def load(
    name: str,
    root: Path | None = None,
    cache: Path | None = None,
    patient_key: str = "",
    patient_column: str = "",
    affine: str = "",
) -> Dataset:
    """Read a dataset by name.

    Args:
        root: its folder (``--data``); built-in datasets need none.
        cache: where decoded arrays are kept between jobs.
        patient_key: ``--patient-key``, for folders that are not registered.
        patient_column: ``--patient-column``, for such folders of 2-D images.
        affine: ``--affine``, for such folders of volumes.

    Raises:
        UserError: unknown name, missing folder, or content that is not as it should be.
    """
    name, root = locate(name, root)
    found = source(name)
    if root is None and not found.built_in:
        raise UserError(f"dataset {name}: --data must name its folder")
    patients = Patients(patient_column, patient_key)
    if name not in DATASETS:
        return _read_folder(name, root or Path(), cache, patients, affine)
    given = {"--patient-key": patient_key, "--patient-column": patient_column, "--affine": affine}
    for flag, value in given.items():
        if value:
            raise UserError(f"{flag} {value!r}: dataset {name} has its own; leave it out")
    read = found.read(root or Path(), cache)
    return check_dataset(name, read) if found.from_outside else read


def _read_folder(name: str, root: Path, cache: Path | None, patients: Patients, affine: str) -> Dataset:
    """Read a folder that is not registered, of images or of volumes."""
    if _holds_images(root):
        if affine:
            raise UserError(f"--affine {affine!r}: {root} holds 2-D images, which have none; leave it out")
        return image_folder.read(name, root, patients, cache)
    if patients.column:
        raise UserError(
            f"--patient-column {patients.column!r}: {root} holds volumes, which have no index.csv; "
            "--patient-key finds the patient in their names"
        )
    if not patients.key:
        return volume_folder.load(name, root, None, cache, affine=affine)
    note = f"patients by the key {patients.key!r} in the names of volumes"
    return volume_folder.load(name, root, by_key(patients.key), cache, note=note, affine=affine)
