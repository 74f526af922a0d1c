"""The masks that jobs predicted as files that other programs open: NIfTI of volumes, PNG of images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.files.atomic import write_file, write_text
from bench.report.figures.cases import grey
from bench.report.tables.markup import csv_text
from bench.study.class_colours import PALETTE
from bench.study.predictions import Labels, read_predictions
from bench.study.store import Study

log = logging.getLogger(__name__)


def write_masks(study: Study, dataset: Dataset) -> Path:
    """Write ``masks/`` with a folder a case: the image, the true mask, and a mask a job, named by its id.

    All files of a case share a grid: that of the image as it was read, volumes turned to RAS+. Files are
    named by number, for a case's name need not be a file's; ``index.csv`` says which case has which.

    Returns:
        The folder.
    """
    folder = study.root / "masks"
    write = _write_volume if dataset.spatial_dims == 3 else _write_image
    if not dataset.synthetic:
        write_text(folder / ".gitignore", "*\n")
    where = {case: k for k, case in enumerate(dataset.cases)}
    written: dict[str, int] = {}
    for path in study.all("predictions"):
        for case, mask in (read_predictions(study, path.stem) or {}).items():
            if case not in where:
                continue
            place = partial(write, folder / f"{where[case]:04}", dataset, where[case])
            if case not in written:
                place("image", None)
                place("truth", dataset.masks[where[case]])
            written[case] = where[case]
            place(path.stem, mask)
    rows = [
        {"folder": f"{k:04}", "case": dataset.cases[k], "patient": dataset.patients[k]}
        for k in sorted(written.values())
    ]
    write_text(folder / "index.csv", csv_text(pd.DataFrame(rows, columns=["folder", "case", "patient"])))
    log.info(f"report: masks of {len(rows)} cases in {folder}")
    return folder


def _write_image(folder: Path, dataset: Dataset, index: int, name: str, mask: Labels | None) -> None:
    """A PNG: the image in 8 bits as the page shows it, or a mask whose values are the classes."""
    if mask is None:
        picture = Image.fromarray(np.rint(255 * grey(dataset, index)).astype(np.uint8))
    else:
        picture = Image.fromarray(mask)
        picture.putpalette([part for colour in PALETTE for part in colour])
    write_file(folder / f"{name}.png", partial(picture.save))


def _write_volume(folder: Path, dataset: Dataset, index: int, name: str, mask: Labels | None) -> None:
    """A NIfTI file: the image in its own units, channels last, or a mask of class indices."""
    import nibabel as nib

    channels: NDArray[Any] = dataset.images[index]
    voxels = (
        mask if mask is not None else channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
    )
    image = nib.Nifti1Image(voxels, np.diag([*dataset.spacing[index], 1.0]))
    image.header.set_xyzt_units("mm")
    save: Callable[[Path], None] = partial(nib.save, image)
    write_file(folder / f"{name}.nii.gz", save)
