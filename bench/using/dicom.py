"""DICOM: series of slices to volumes with their place in the patient, single files to images.

Nothing of what a file says about its patient goes further: no tag is in an error, a log or a name. pydicom
reads the files; it is an extra of this package.

Geometry: DICOM PS3.3 C.7.6.2.1.1, whose axes run left, back, head; here they run right, front, head.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from methods.extras import how_to_get

ENDINGS = (".dcm", ".dicom", ".ima")
MOST_PIXELS = 2**28
"""Of a slice; more would be a damaged header, or a trap."""
UNEVEN = 0.02
"""How much distances between slices may differ, as a part of them."""
TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """Files of one series, in the order of their names; ``fault``: why it can't be read."""

    paths: tuple[Path, ...]
    fault: str = ""


@dataclass(frozen=True)
class Slice:
    """What places one file's pixels."""

    path: Path
    origin: NDArray[np.float64]
    """Of the first pixel, in mm; left, back, head."""
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    steps: tuple[float, float]
    """Millimetres between rows and between columns."""
    size: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction in which slices follow each other."""
        return np.cross(self.along_row, self.along_column)


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is one, by its ending or its first bytes."""
    if path.suffix.lower() in ENDINGS:
        return True
    if path.suffix and not path.suffix[1:].isdigit():  # names that are UIDs end in numbers
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def by_series(paths: Sequence[Path]) -> list[Series]:
    """The series of one folder's files, in the order of their first files.

    A file that can't be read may be a slice of any of them, so none of them is whole then.

    Raises:
        UserError: pydicom is not here.
    """
    _library()
    series: dict[str, list[Path]] = {}
    for path in paths:
        try:
            uid = _series_of(path)
        except UserError as error:
            return [Series(tuple(paths), f"{error}; its series would lack a slice")]
        series.setdefault(uid, []).append(path)
    return [Series(tuple(own)) for own in series.values()]


def read_series(paths: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Voxels ``(x, y, z)``, rescaled (CT: Hounsfield units), and their affine to RAS+ in mm.

    The first axis runs along rows, the second down columns, the third from slice to slice.

    Raises:
        UserError: files that can't be read, or that do not make one evenly spaced stack.
    """
    slices = [_placed(path) for path in paths]
    first = slices[0]
    for one in slices[1:]:
        same = one.size == first.size and np.allclose(one.steps, first.steps, rtol=1e-3)
        if not same or not np.allclose(_frame(one), _frame(first), atol=1e-3):
            raise UserError(
                f"{one.path}: its size, pixel spacing or orientation is not that of {first.path.name}; a "
                "volume needs one stack of slices"
            )
    slices.sort(key=lambda one: float(one.origin @ first.normal))
    first = slices[0]
    step = _step(slices)
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.steps[1]
    affine[:3, 1] = first.along_column * first.steps[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.origin
    affine[:3] *= TO_RAS[:, None]
    voxels = np.stack([_pixels(one.path).T for one in slices], axis=-1)
    return voxels, affine


def read_picture(path: Path) -> tuple[NDArray[np.generic], tuple[float, ...]]:
    """One file as a 2-D image ``(height, width[, 3])``, rescaled, and mm between rows and columns.

    The spacing is empty where the file has none.

    Raises:
        UserError: a file that can't be read, or that holds several frames.
    """
    data = _header(path)
    steps = getattr(data, "PixelSpacing", None) or getattr(data, "ImagerPixelSpacing", None)
    try:
        spacing = tuple(float(step) for step in steps or ())
    except (TypeError, ValueError):
        spacing = ()
    usable = len(spacing) == 2 and all(0 < step < 1e4 for step in spacing)
    return _pixels(path), spacing if usable else ()


def _library() -> ModuleType:
    try:
        import pydicom
    except ModuleNotFoundError:
        raise UserError(f"DICOM files: {how_to_get('pydicom', 'dicom')}") from None
    return pydicom


def _header(path: Path) -> Any:
    """All but the pixels."""
    pydicom = _library()
    try:
        with _silent():
            return pydicom.dcmread(path, stop_before_pixels=True)
    except Exception as error:  # what a parser makes of damaged bytes may be any, and may quote them
        raise UserError(f"{path}: not a readable DICOM file ({type(error).__name__})") from None


def _series_of(path: Path) -> str:
    data = _header(path)
    uid = str(getattr(data, "SeriesInstanceUID", ""))
    if not uid or not hasattr(data, "Rows"):
        raise UserError(f"{path}: a DICOM file that is no image of a series")
    return uid


def _placed(path: Path) -> Slice:
    """Where a slice lies.

    Raises:
        UserError: it does not say so.
    """
    data = _header(path)
    try:
        with _silent():
            frame = np.array(data.ImageOrientationPatient, float)
            origin = np.array(data.ImagePositionPatient, float)
            steps = tuple(float(step) for step in data.PixelSpacing)
            size = int(data.Rows), int(data.Columns)
    except Exception:
        raise UserError(
            f"{path}: does not say where it lies (ImagePositionPatient, ImageOrientationPatient, "
            "PixelSpacing); a volume needs slices that do"
        ) from None
    along_row, along_column = frame[:3], frame[3:]
    unit = np.allclose([along_row @ along_row, along_column @ along_column], 1, atol=1e-2)
    finite = np.isfinite(origin).all() and origin.shape == (3,) and frame.shape == (6,)
    if (
        not finite
        or not unit
        or abs(along_row @ along_column) > 1e-2
        or not 0 < min(steps) <= max(steps) < 1e4
    ):
        raise UserError(f"{path}: its position, orientation or pixel spacing can't be")
    return Slice(path, origin, along_row, along_column, (steps[0], steps[1]), size)


def _frame(one: Slice) -> NDArray[np.float64]:
    return np.concatenate([one.along_row, one.along_column])


def _step(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """From one slice to the next, in mm; slices lie evenly.

    Raises:
        UserError: a slice is missing, is there twice, or lies beside the others.
    """
    if len(slices) < 2:
        raise UserError(f"{slices[0].path}: its series has one slice; a volume needs several")
    steps = np.diff([one.origin for one in slices], axis=0)
    usual = np.median(steps, axis=0)
    length = float(np.linalg.norm(usual))
    if length < 1e-4:
        raise UserError(f"{slices[0].path}: several slices lie at one place; a volume needs one at each")
    odd = np.linalg.norm(steps - usual, axis=1) > UNEVEN * length
    if odd.any():
        worst = int(odd.argmax())
        far = float(np.linalg.norm(steps[worst]))
        raise UserError(
            f"{slices[worst + 1].path}: lies {far:.2f} mm behind the slice before it, others "
            f"{length:.2f} mm; slices must be evenly spaced: one is missing, or there twice"
        )
    step: NDArray[np.float64] = (slices[-1].origin - slices[0].origin) / (len(slices) - 1)
    return step


def _pixels(path: Path) -> NDArray[np.float32]:
    """``(rows, columns)`` or ``(rows, columns, 3)``: stored values with slope and intercept applied."""
    pydicom = _library()
    try:
        with _silent():
            data = pydicom.dcmread(path)
            count = int(data.Rows) * int(data.Columns) * int(getattr(data, "SamplesPerPixel", 1))
            frames = int(getattr(data, "NumberOfFrames", 1) or 1)
            if frames > 1 or not 0 < count <= MOST_PIXELS:
                raise UserError(
                    f"{path}: holds {frames} frames of {int(data.Rows)}x{int(data.Columns)}; must be one "
                    f"of at most {MOST_PIXELS:,} pixels"
                )
            pixels = pydicom.pixels.apply_modality_lut(data.pixel_array, data)
            kind = str(getattr(data, "PhotometricInterpretation", ""))
    except UserError:
        raise
    except Exception as error:  # as above
        raise UserError(f"{path}: its pixels can't be read ({type(error).__name__})") from None
    found = np.ascontiguousarray(pixels, np.float32)
    if kind in ("MONOCHROME1", "PALETTE COLOR"):
        why = "0 is white" if kind == "MONOCHROME1" else "numbers of colours"
        raise UserError(f"{path}: has pixels of the kind {kind} ({why}); must be MONOCHROME2 or colour")
    if not np.isfinite(found).all():
        raise UserError(f"{path}: it holds NaN or infinite values; all must be finite")
    return found


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without pydicom's remarks, which quote what tags hold."""
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            yield
    finally:
        logger.disabled = before
