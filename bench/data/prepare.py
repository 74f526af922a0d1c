"""Making a dataset's folder from where it is published: ``run_bench.py prepare DATASET``."""

from __future__ import annotations

import csv
import logging
import re
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.image_folder import read_grey
from bench.data.volume_layout import read_layout
from bench.errors import UserError

log = logging.getLogger(__name__)

LIVER_REPOSITORY = "sarah-antillia/Image-Segmentation-Liver-Tumor"
LIVER_COMMIT = "de32e744d4306674a13cbdca17221f07602c2d5b"
LIVER_FOLDER = Path("projects/Liver-Tumor/Liver-Tumor/test")
LIVER_NAME = re.compile(r"(flipped|mirrored)_(1\d{4})_(\d+)\.jpg")
LIVER_COLUMNS = ("file", "volume", "slice", "source_variant", "fg_pixels")
TURNS = {"flipped": 1, "mirrored": 3}
"""Quarter turns that bring each variant of the upstream files back to the scanner's orientation."""

SUNNYBROOK_REPOSITORY = "mshunshin/SegNetCMR"
SUNNYBROOK_COMMIT = "1f41bb8bf653cafa02af7914c12d5e6b248359f9"
SUNNYBROOK_FOLDER = Path("Data")
SUNNYBROOK_NAME = re.compile(r"SC-(.+)-IM-(\d+)-(\d+)\.dcm\.png")
SUNNYBROOK_COLUMNS = ("file", "patient", "upstream_part", "foreground")


@dataclass(frozen=True)
class Slice:
    """Where a slice and its mask lie upstream, and what becomes of them."""

    image: Path
    mask: Path
    row: tuple[str | int, ...]
    """Its row of ``index.csv`` (file, patient, ...) but for the number of foreground pixels at the end."""
    turns: int = 0
    """Quarter turns that undo what was done to its orientation."""


def liver_ct(source: Path, target: Path) -> None:
    """Write ``target`` (``images/``, ``masks/``, ``index.csv``) from a clone of the upstream repository.

    Upstream files are named ``<variant>_<10000 + volume>_<slice>.jpg``. Orientation is undone, one
    of each pair of variants of a slice is kept (``flipped``), images become grey, masks are cut at
    127, both are written as PNG. Rows keep the order of the upstream names.

    Raises:
        UserError: not such a clone, or a target that is there already.
    """
    images, masks = _folders(source, LIVER_FOLDER, ("images", "masks"), LIVER_REPOSITORY, LIVER_COMMIT)
    chosen: dict[str, Slice] = {}
    for path in sorted(images.iterdir()):
        match = LIVER_NAME.fullmatch(path.name)
        if match:  # sorted: "flipped" comes before "mirrored" and stays
            volume, number = int(match[2]) - 10000, int(match[3])
            file = f"vol{volume:03}_z{number:03}.png"
            row = (file, volume, number, match[1])
            chosen.setdefault(file, Slice(path, masks / path.name, row, TURNS[match[1]]))
    if not chosen:
        raise UserError(f"{images}: no files named like flipped_10001_081.jpg")
    _write(target, LIVER_COLUMNS, list(chosen.values()))


def sunnybrook_lv(source: Path, target: Path) -> None:
    """Write ``target`` (``images/``, ``masks/``, ``index.csv``) from a clone of the upstream repository.

    That is ``mshunshin/SegNetCMR`` at commit 1f41bb8bf653cafa02af7914c12d5e6b248359f9. Slices lie
    there in ``Data/Test`` and ``Data/Train``, in folders below ``Images`` and, under the same names,
    below ``Labels``. ``SC-<patient>-IM-<series>-<number>.dcm.png`` becomes
    ``<patient>-<series>-<number>.png``. Images become grey, masks are cut at 127. Rows keep the order
    of the upstream paths; the upstream part is a column, all slices are in one folder.

    Raises:
        UserError: not such a clone, an image without mask or the other way round, a slice that is
            there twice, or a target that is there already.
    """
    slices = []
    for part in ("Test", "Train"):
        images, labels = _folders(
            source, SUNNYBROOK_FOLDER / part, ("Images", "Labels"), SUNNYBROOK_REPOSITORY, SUNNYBROOK_COMMIT
        )
        names = {path.relative_to(folder) for folder in (images, labels) for path in folder.rglob("*.png")}
        for name in sorted(names):
            match = SUNNYBROOK_NAME.fullmatch(name.name)
            if match:
                row = (f"{match[1]}-{match[2]}-{match[3]}.png", match[1], part.lower())
                slices.append(Slice(images / name, labels / name, row))
    if not slices:
        raise UserError(f"{source / SUNNYBROOK_FOLDER}: no files named like SC-N-09-IM-0001-0020.dcm.png")
    _write(target, SUNNYBROOK_COLUMNS, slices, optimize=True)


def _folders(
    source: Path, folder: Path, names: tuple[str, str], repository: str, commit: str
) -> tuple[Path, Path]:
    """The two folders of images and masks in a clone, if it is one."""
    images, masks = (source / folder / name for name in names)
    if not images.is_dir() or not masks.is_dir():
        raise UserError(
            f"{source}: has no {folder}/{names[0]} and {names[1]}; --source must be a clone of "
            f"{repository} at commit {commit[:7]}"
        )
    return images, masks


def _write(target: Path, columns: Sequence[str], slices: Sequence[Slice], optimize: bool = False) -> None:
    """Write the folder whole or not at all: grey images and masks of 0 and 255 as PNG, ``index.csv``.

    Args:
        columns: of ``index.csv``; the second is the patient's, the last the number of foreground pixels.
        optimize: take the time for the smallest PNG.
    """
    if target.exists():
        raise UserError(f"{target}: is there already; remove it or name another --data")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for kind in ("images", "masks"):
            (partial / kind).mkdir(parents=True)
        with (partial / "index.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(columns)
            writer.writerows((*one.row, _write_slice(one, partial, optimize)) for one in slices)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info(f"{target}: {len(slices)} slices of {len({one.row[1] for one in slices})} {columns[1]}s")


def _write_slice(one: Slice, folder: Path, optimize: bool) -> int:
    """Write a slice and its mask under ``folder``; returns the number of foreground pixels."""
    file = str(one.row[0])
    if (folder / "images" / file).exists():
        raise UserError(f"{one.image}: there is another {file}; a slice must be there once")
    image = np.rot90(_grey(one.image, "mask", "image"), one.turns)
    mask = np.rot90(_grey(one.mask, "image", "mask"), one.turns) > 127
    if mask.shape != image.shape:
        raise UserError(f"{one.mask}: mask {mask.shape}, its image {image.shape}")
    for kind, pixels in (("images", image), ("masks", mask.astype(np.uint8) * 255)):
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / kind / file, optimize=optimize)
    return int(mask.sum())


def _grey(path: Path, other: str, what: str) -> NDArray[np.uint8]:
    if not path.is_file():
        raise UserError(f"{path}: missing; the {other} of that name has no {what}")
    return read_grey(path)


def decathlon(task: str, target: Path) -> None:
    """Download a task of the Medical Segmentation Decathlon to ``target``, by MONAI's downloader.

    Raises:
        UserError: a target that is there already, no network, or a damaged download.
    """
    from monai.apps import utils
    from monai.apps.datasets import DecathlonDataset

    if target.exists():
        raise UserError(f"{target}: is there already; remove it or name another --data")
    url, checksum = DecathlonDataset.resource[task], DecathlonDataset.md5[task]
    partial = target.with_name(target.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        log.info(f"downloading {url}")
        utils.download_and_extract(
            url, partial / f"{task}.tar", partial, hash_val=checksum, hash_type="md5", progress=True
        )
        layout = read_layout(partial / task)
        (partial / task).rename(target)
    except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
        raise UserError(f"prepare: {url} could not be downloaded and unpacked ({error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info(f"{target}: {len(layout.entries)} volumes")


DECATHLON = {"hippocampus": "Task04_Hippocampus", "liver": "Task03_Liver"}
CLONES = {
    "liver-ct": (liver_ct, LIVER_REPOSITORY),
    "sunnybrook-lv": (sunnybrook_lv, SUNNYBROOK_REPOSITORY),
}


def prepare(dataset: str, source: Path | None, target: Path) -> None:
    """Make ``target`` for ``dataset``, from ``source`` or from where it is published."""
    if dataset in DECATHLON:
        if source is not None:
            raise UserError(f"prepare {dataset}: takes no --source; it downloads {DECATHLON[dataset]}")
        decathlon(DECATHLON[dataset], target)
    elif dataset not in CLONES:
        known = ", ".join((*CLONES, *DECATHLON))
        raise UserError(f"prepare {dataset!r}: nothing to prepare; known: {known}")
    else:
        make, repository = CLONES[dataset]
        if source is None:
            raise UserError(f"prepare {dataset}: --source must name a clone of {repository}")
        make(source, target)
