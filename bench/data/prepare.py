"""Making a dataset's folder from where it is published: ``run_bench.py prepare DATASET``."""

from __future__ import annotations

import csv
import logging
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.image_folder import read_grey
from bench.data.volume_folder import read_layout
from bench.errors import UserError

log = logging.getLogger(__name__)

LIVER_REPOSITORY = "sarah-antillia/Image-Segmentation-Liver-Tumor"
LIVER_COMMIT = "de32e744d4306674a13cbdca17221f07602c2d5b"
LIVER_FOLDER = Path("projects/Liver-Tumor/Liver-Tumor/test")
TURNS = {"flipped": 1, "mirrored": 3}
"""Quarter turns that bring each variant of the upstream files back to the scanner's orientation."""
NAME = re.compile(r"(flipped|mirrored)_(1\d{4})_(\d+)\.jpg")
COLUMNS = ("file", "volume", "slice", "source_variant", "fg_pixels")


def liver_ct(source: Path, target: Path) -> None:
    """Write ``target`` (``images/``, ``masks/``, ``index.csv``) from a clone of the upstream repository.

    Upstream files are named ``<variant>_<10000 + volume>_<slice>.jpg``. Orientation is undone, one
    of each pair of variants of a slice is kept (``flipped``), images become grey, masks are cut at
    127, both are written as PNG. Rows keep the order of the upstream names.

    Raises:
        UserError: not such a clone, or a target that is there already.
    """
    folder = source / LIVER_FOLDER
    if not (folder / "images").is_dir() or not (folder / "masks").is_dir():
        raise UserError(
            f"{source}: has no {LIVER_FOLDER}/images and masks; --source must be a clone of "
            f"{LIVER_REPOSITORY} at commit {LIVER_COMMIT[:7]}"
        )
    if target.exists():
        raise UserError(f"{target}: is there already; remove it or name another --data")
    chosen: dict[tuple[int, int], tuple[str, str]] = {}
    for path in sorted((folder / "images").iterdir()):
        match = NAME.fullmatch(path.name)
        if match:  # sorted: "flipped" comes before "mirrored" and stays
            chosen.setdefault((int(match[2]) - 10000, int(match[3])), (path.name, match[1]))
    if not chosen:
        raise UserError(f"{folder / 'images'}: no files named like flipped_10001_081.jpg")
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for kind in ("images", "masks"):
        (partial / kind).mkdir(parents=True)
    try:
        rows = [_slice(folder, partial, *key, *names) for key, names in chosen.items()]
        with (partial / "index.csv").open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info(f"{target}: {len(rows)} slices of {len({row[1] for row in rows})} volumes")


def _slice(
    folder: Path, target: Path, volume: int, number: int, name: str, variant: str
) -> tuple[str, int, int, str, int]:
    file = f"vol{volume:03}_z{number:03}.png"
    image = np.rot90(_grey(folder / "images" / name), TURNS[variant])
    mask = np.rot90(_grey(folder / "masks" / name), TURNS[variant]) > 127
    if mask.shape != image.shape:
        raise UserError(f"{folder / 'masks' / name}: mask {mask.shape}, its image {image.shape}")
    Image.fromarray(np.ascontiguousarray(image)).save(target / "images" / file)
    Image.fromarray(mask.astype(np.uint8) * 255).save(target / "masks" / file)
    return file, volume, number, variant, int(mask.sum())


def _grey(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise UserError(f"{path}: missing; the image of that name has no mask")
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
        reason = " ".join(str(error).split())
        raise UserError(f"prepare: {url} could not be downloaded and unpacked ({reason})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info(f"{target}: {len(layout.entries)} volumes")


DECATHLON = {"hippocampus": "Task04_Hippocampus", "liver": "Task03_Liver"}


def prepare(dataset: str, source: Path | None, target: Path) -> None:
    """Make ``target`` for ``dataset``, from ``source`` or from where it is published."""
    if dataset in DECATHLON:
        if source is not None:
            raise UserError(f"prepare {dataset}: takes no --source; it downloads {DECATHLON[dataset]}")
        decathlon(DECATHLON[dataset], target)
    elif dataset != "liver-ct":
        known = ", ".join(("liver-ct", *DECATHLON))
        raise UserError(f"prepare {dataset!r}: nothing to prepare; known: {known}")
    elif source is None:
        raise UserError(f"prepare {dataset}: --source must name a clone of {LIVER_REPOSITORY}")
    else:
        liver_ct(source, target)
