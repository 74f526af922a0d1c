"""Pictures of cases for the page: images as PNG, masks as outlines, in ``page/cases/``.

Masks become SVG paths: crisp at any size, and a kilobyte or less a case. A page from disk may not read
files, but may run scripts, so each file of outlines is one call. Of a dataset that not everybody
may be shown the folder ignores itself in git.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from contourpy import LineType, contour_generator
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset
from bench.files.atomic import write_file, write_text
from bench.report.figures.cases import grey
from bench.study.predictions import Labels, read_predictions
from bench.study.store import Study


def write_pictures(folder: Path, study: Study, dataset: Dataset, cases: list[str]) -> None:
    """Write image and true outlines of ``cases``, and the outlines of every job with predictions."""
    if not dataset.may_be_shown:
        write_text(folder / ".gitignore", "*\n")
    where = {case: k for k, case in enumerate(dataset.cases)}
    classes = len(dataset.classes)
    truth = []
    for case in (case for case in cases if case in where):
        planes = [np.rint(255 * plane).astype(np.uint8) for plane in slices(grey(dataset, where[case]))]
        # Numbered, not named: a case's name need not be a file's.
        name = f"{where[case]:04}.png"
        write_file(folder / name, partial(Image.fromarray(np.concatenate(planes)).save))
        height, width = planes[0].shape
        lines = outlines(dataset.masks[where[case]], classes)
        truth.append((case, {"image": name, "width": width, "height": height, "outlines": lines}))
    write_text(folder / "truth.js", f"benchPictures({script(truth)});\n")
    for path in study.all("predictions"):
        masks = read_predictions(study, path.stem)
        if masks is None:
            continue
        lines_of = [(case, outlines(masks[case], classes)) for case, _ in truth if case in masks]
        call = f"benchPrediction({script(path.stem)}, {script(lines_of)});\n"
        write_text(folder / "jobs" / f"{path.stem}.js", call)


def slices(array: NDArray[Any]) -> list[NDArray[Any]]:
    """What is looked at: a 2-D array itself; a volume ``(x, y, z)`` plane by plane, y upwards."""
    if array.ndim == 2:
        return [array]
    return [array[:, ::-1, z].T for z in range(array.shape[2])]


def outlines(mask: Labels, classes: int) -> list[list[str]]:
    """For each slice, for each foreground class, the path around it."""
    return [[outline(plane == label) for label in range(1, classes + 1)] for plane in slices(mask)]


def outline(mask: NDArray[np.bool_]) -> str:
    """An SVG path around ``(height, width)``, in half pixels: pixel ``k`` spans ``2k`` to ``2k + 2``.

    It runs through the middles of the pixels' edges, corners cut, and is empty for an empty mask.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return ""
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = 2 * np.array([columns[0], rows[0]]) - 1
    parts = []
    lines = contour_generator(z=np.pad(box, 1).astype(float), line_type=LineType.Separate).lines(0.5)
    for line in cast(list[NDArray[np.float64]], lines):
        points = np.rint(2 * line[:-1]).astype(int) + corner
        steps = np.roll(points, -1, axis=0) - points
        corners = points[(steps != np.roll(steps, 1, axis=0)).any(axis=1)]
        first, moves = corners[0], np.diff(corners, axis=0)
        parts.append(f"M{first[0]} {first[1]}l{' '.join(f'{x} {y}' for x, y in moves)}z")
    return "".join(parts)


def script(content: Any) -> str:
    """JSON that is safe inside a script, wherever that stands.

    Raises:
        ValueError: NaN in it.
    """
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
