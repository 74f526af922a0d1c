"""A NIfTI volume to a mask on the same grid; needs nibabel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from .steps import Network, check, clip, decide, normalise, stretch

ENDING = ".nii.gz"
UNITS = {1: 1000.0, 3: 0.001}
"""Of a NIfTI header, to millimetres; others are taken for those."""


def predict(network: Network, how: dict[str, Any], path: Path, out: Path) -> None:
    """A NIfTI volume to a mask on the same grid."""
    image: Any = nib.load(path)
    header, channels = image.header, how["channels"]
    if not header["sform_code"] and not header["qform_code"]:
        raise ValueError("has no affine (sform_code and qform_code are 0): its orientation is unknown")
    steps, sizes = np.linalg.norm(image.affine[:3, :3], axis=0), header["pixdim"][1:4]
    if np.isfinite(sizes).all() and (sizes > 0).all() and not np.allclose(steps, sizes, rtol=1e-3):
        raise ValueError(
            f"contradicts itself: voxels of {steps} by its sform, of {sizes} by its pixdim (qform)"
        )
    x = np.asarray(image.dataobj, np.float32)
    x = x.reshape(*x.shape[:3], *(side for side in x.shape[3:] if side > 1))
    if x.shape[3:] != ((len(channels),) if len(channels) > 1 else ()):
        raise ValueError(f"has the shape {x.shape}; the network needs {len(channels)} channel(s)")
    turn = nib.io_orientation(image.affine)
    x = nib.apply_orientation(x, turn)  # axes run right, front, head now
    x = x[None] if x.ndim == 3 else np.moveaxis(x, -1, 0)
    check(x, channels)
    steps = steps[turn[:, 0].argsort()] * UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
    grid = [
        side if math.isclose(own, wanted, rel_tol=1e-3) else max(1, round(side * own / wanted))
        for side, own, wanted in zip(x.shape[1:], steps.round(6), how["spacing"], strict=True)
    ]
    small = stretch(x, grid)
    ready = normalise(clip(small, channels), channels)
    logits = stretch(in_windows(network, ready, how["patch"], how["overlap"]), x.shape[1:])
    mask = decide(logits, how["threshold"])
    back = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), turn)
    found = nib.Nifti1Image(nib.apply_orientation(mask, back), image.affine)
    for form in ("qform", "sform"):
        code = int(header[f"{form}_code"])
        getattr(found, f"set_{form}")(getattr(image, f"get_{form}")() if code else None, code)
    found.header.set_xyzt_units(int(header["xyzt_units"]) & 7)
    nib.save(found, out)


def in_windows(network: Network, x: np.ndarray, patch: Sequence[int], overlap: float) -> np.ndarray:
    """Logits of an image ``(C, *sides)`` in overlapping windows that count by a Gaussian; zeros around."""
    if len(patch) < x.ndim - 1:  # axial slices, one by one
        slices = [in_windows(network, x[..., z], patch, overlap) for z in range(x.shape[-1])]
        return np.stack(slices, axis=-1)
    sides = x.shape[1:]
    short = [max(window - side, 0) // 2 for window, side in zip(patch, sides, strict=True)]
    rest = [max(w - side, 0) - s for w, side, s in zip(patch, sides, short, strict=True)]
    x = np.pad(x, [(0, 0), *zip(short, rest, strict=True)])
    starts, weight = [], np.ones((), np.float32)
    for side, window in zip(x.shape[1:], patch, strict=True):
        step = max(1, int(window * (1 - overlap)))
        starts.append([min(start, side - window) for start in range(0, side - window + step, step)])
        away = np.arange(window, dtype=np.float32) - (window - 1) / 2
        weight = weight[..., None] * np.exp(-(away**2) / (2 * (0.125 * window) ** 2)).astype(np.float32)
    weight = weight.clip(max(float(weight.min()), 1e-3))
    total, count = np.zeros((1, *x.shape[1:]), np.float32), np.zeros(x.shape[1:], np.float32)
    for corner in itertools.product(*starts):
        where = tuple(slice(start, start + window) for start, window in zip(corner, patch, strict=True))
        found = network(np.ascontiguousarray(x[(slice(None), *where)])[None])[0]
        total = total if len(total) == len(found) else np.repeat(total, len(found), axis=0)
        total[(slice(None), *where)] += found * weight
        count[where] += weight
    inside = tuple(slice(s, s + side) for s, side in zip(short, sides, strict=True))
    return (total / count)[(slice(None), *inside)]
