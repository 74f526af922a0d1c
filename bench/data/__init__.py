"""Registry of datasets. A new one is a function below (or a file of its own) and a line in ``DATASETS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.data import image_folder, phantom
from bench.data.dataset import Dataset
from bench.errors import UserError

__all__ = ["DATASETS", "Dataset", "Source", "load"]


@dataclass(frozen=True)
class Source:
    """How to read a dataset: ``read(root, cache)``; built-in ones need no ``root``."""

    read: Callable[[Path, Path | None], Dataset]
    built_in: bool
    image_size: int
    """The default side that networks see."""


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


DATASETS: dict[str, Source] = {
    "phantom": Source(_phantom, built_in=True, image_size=64),
    "liver-ct": Source(_liver_ct, built_in=False, image_size=256),
}


def load(name: str, root: Path | None = None, cache: Path | None = None) -> Dataset:
    """Read a dataset by name.

    Args:
        root: its folder (``--data``); built-in datasets need none.
        cache: where decoded arrays are kept between jobs.

    Raises:
        UserError: unknown name, missing folder, or content that is not as it should be.
    """
    if name not in DATASETS:
        raise UserError(f"--dataset {name!r} is unknown; known: {', '.join(DATASETS)}")
    source = DATASETS[name]
    if root is None and not source.built_in:
        raise UserError(f"dataset {name}: --data must name its folder")
    return source.read(root or Path(), cache)
