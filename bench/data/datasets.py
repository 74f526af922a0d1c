"""Registry of datasets. A new one is a function below (or a file of its own) and a line in ``DATASETS``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.data import image_folder, phantom, volume_folder
from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.files.checked import check_name

__all__ = ["DATASETS", "Dataset", "Source", "load", "locate", "source"]


@dataclass(frozen=True)
class Source:
    """How to read a dataset: ``read(root, cache)``; built-in ones need no ``root``."""

    read: Callable[[Path, Path | None], Dataset]
    built_in: bool
    image_size: int
    """The default side that networks see; of volumes a patch's, as far as they fill it."""


def _phantom(root: Path, cache: Path | None) -> Dataset:
    return phantom.generate(cache=cache)


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
    return image_folder.load(
        "sunnybrook-lv",
        root,
        patient_column="patient",
        class_name="left ventricle",
        cache=cache,
        note="8-bit slices without spacing: distances are in pixels; each slice is stretched to 0-255 by "
        "itself; every patient at two moments of the heartbeat; the 13 masks of patient N-06 lie beside "
        "the ventricle",
        licence="public domain, Sunnybrook Cardiac Data",
    )


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
    "phantom-3d": Source(_phantom_3d, built_in=True, image_size=32),
    "phantom-3d-128": Source(_phantom_3d_128, built_in=True, image_size=64),
    "liver-ct": Source(_liver_ct, built_in=False, image_size=256),
    "sunnybrook-lv": Source(_sunnybrook_lv, built_in=False, image_size=256),
    "hippocampus": Source(_hippocampus, built_in=False, image_size=64),
    "liver": Source(_liver, built_in=False, image_size=96),
}


def source(name: str) -> Source:
    """The registered dataset of that name; any other name is that of a folder of volumes."""

    def read(root: Path, cache: Path | None) -> Dataset:
        return volume_folder.load(name, root, None, cache)

    return DATASETS.get(name) or Source(read, built_in=False, image_size=64)


def locate(name: str, root: Path | None) -> tuple[str, Path | None]:
    """``--dataset`` and ``--data`` to a dataset's short name and its folder.

    A name that isn't registered may be the path of a folder in the Decathlon's or nnU-Net's layout, or
    the name that such a folder, given by ``--data``, shall have.

    Raises:
        UserError: neither registered nor such a folder.
    """
    if name in DATASETS:
        return name, root
    folder = root or Path(name)
    if not _is_folder(folder) or (root is not None and not (folder / "dataset.json").is_file()):
        raise UserError(
            f"--dataset {name!r} is unknown; known: {', '.join(DATASETS)}, or a folder with a dataset.json "
            "(Decathlon or nnU-Net)"
        )
    try:
        short = Path(name).resolve().name
    except (OSError, ValueError):
        short = name
    return check_name(short, f"--dataset {name!r}"), folder


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no file system takes
        return False


def load(name: str, root: Path | None = None, cache: Path | None = None, patient_key: str = "") -> Dataset:
    """Read a dataset by name.

    Args:
        root: its folder (``--data``); built-in datasets need none.
        cache: where decoded arrays are kept between jobs.
        patient_key: ``--patient-key``, for folders that are not registered.

    Raises:
        UserError: unknown name, missing folder, or content that is not as it should be.
    """
    name, root = locate(name, root)
    found = source(name)
    if root is None and not found.built_in:
        raise UserError(f"dataset {name}: --data must name its folder")
    if patient_key:
        if name in DATASETS:
            raise UserError(f"--patient-key {patient_key!r}: dataset {name} has its own; leave it out")
        note = f"patients by the key {patient_key!r} in the names of volumes"
        key = volume_folder.by_key(patient_key)
        return volume_folder.load(name, root or Path(), key, cache, note=note)
    return found.read(root or Path(), cache)
