"""Where the voxels of a NIfTI file lie, in millimetres, by its header, which may contradict itself.

A header may say it twice: as sform, a matrix, and as qform, voxel sizes (``pixdim``) with a rotation.
NIfTI-1: Cox et al., nifti1.h, 2004, "methods" 1 to 3.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError

SPACING = (1e-5, 1e4)
SAME_LENGTH, SAME_DIRECTION = 1e-3, 1e-2
"""What two spacings may differ by, as a share; and two directions of an axis."""
SAME_PLACE = 0.25
"""What a corner of a label may lie away from that of its image, in voxels."""
UNITS = {1: (1000.0, "metres"), 2: (1.0, "millimetres"), 3: (1e-3, "micrometres")}
"""Of ``xyzt_units``: what makes millimetres of it."""
Affine = NDArray[np.float64]


def affine_of(header: Any, path: Path, preferred: str = "") -> tuple[Affine, list[str]]:
    """Voxel indices to millimetres (right, front, head), 4 × 4; and what is odd about it but harmless.

    Args:
        header: a ``nibabel.Nifti1Header``.
        preferred: ``sform`` or ``qform`` where both are there and differ; empty: they must not.

    Raises:
        UserError: no affine, a degenerate one, or two that differ in spacing or in the order of axes.
    """
    if not header["sform_code"] and not header["qform_code"]:
        raise UserError(
            f"{path}: has no affine (sform_code and qform_code are 0), so spacing and orientation are "
            "unknown; set one of them"
        )
    scale, odd = _unit(header)
    sform = _in_mm(header.get_sform(), scale) if header["sform_code"] else None
    other = _qform(header, sform, scale)
    if sform is None:
        if other is None:
            raise UserError(f"{path}: its qform has no sizes (pixdim) or no rotation; correct the header")
        return _checked(other, path), odd
    if other is None:
        what = "its qform can't be read" if _has_sizes(header) else "its pixdim holds no voxel sizes"
        return _checked(sform, path), [*odd, f"{what}; the sform's are taken", *_sheared(sform)]
    if preferred:
        chosen = _checked(other if preferred == "qform" else sform, path)
        return chosen, odd + _sheared(chosen)
    if not _usable(sform) and _usable(other):
        raise UserError(
            f"{path}: its sform is degenerate, its qform is not; say --affine qform to take that"
        )
    return _checked(sform, path), odd + _compare(sform, other, header, path) + _sheared(sform)


def _unit(header: Any) -> tuple[float, list[str]]:
    """What makes millimetres of the header's lengths."""
    scale, unit = UNITS.get(int(header["xyzt_units"]) & 7, (1.0, ""))
    if not unit:
        return scale, ["says no unit of length; taken for millimetres"]
    return scale, [] if scale == 1 else [f"its lengths are in {unit}; converted to millimetres"]


def _in_mm(affine: Any, scale: float) -> Affine:
    affine = np.array(affine, dtype=float)
    affine[:3] *= scale
    return affine


def _qform(header: Any, sform: Affine | None, scale: float) -> Affine | None:
    """The qform; where it has no code the sizes of ``pixdim`` along the sform's axes; None: no sizes."""
    from nibabel.spatialimages import HeaderDataError

    if not _has_sizes(header):
        return None
    sizes = np.array(header["pixdim"][1:4], dtype=float)
    if header["qform_code"]:
        with contextlib.suppress(HeaderDataError, ValueError):
            return _in_mm(header.get_qform(), scale)
        return None
    if sform is None:
        return None
    other = sform.copy()
    other[:3, :3] = directions(sform) * sizes * scale
    return other


def _has_sizes(header: Any) -> bool:
    sizes = np.array(header["pixdim"][1:4], dtype=float)
    return bool((np.isfinite(sizes) & (sizes > 0)).all())


def _sheared(affine: Affine) -> list[str]:
    """A sentence where the axes are not at right angles, as where a gantry was tilted."""
    axes = directions(affine)
    lean = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if lean <= SAME_DIRECTION:
        return []
    return [
        f"its axes are {np.degrees(np.arccos(min(1.0, lean))):.0f} degrees from one another, not 90; "
        "distances in mm are as if they were"
    ]


def _compare(sform: Affine, other: Affine, header: Any, path: Path) -> list[str]:
    """Refuse two that make other volumes of the same voxels; say it where they are turned or moved."""
    import nibabel as nib

    name = "qform" if header["qform_code"] else "pixdim"
    ours, theirs = spacing_of(sform), spacing_of(other)
    axes = ["".join(nib.aff2axcodes(one)) for one in (sform, other)]
    if not np.allclose(ours, theirs, rtol=SAME_LENGTH) or axes[0] != axes[1]:
        raise UserError(
            f"{path}: its sform means voxels of {sides(ours)} mm, oriented {axes[0]}, its {name} of "
            f"{sides(theirs)} mm, {axes[1]}; say which is right by --affine sform or --affine qform, or "
            "correct the header"
        )
    if not np.allclose(directions(sform), directions(other), atol=SAME_DIRECTION):
        return ["its sform is turned against its qform; voxel sizes and the order of axes agree"]
    away = np.abs(np.linalg.solve(sform[:3, :3], other[:3, 3] - sform[:3, 3])).max()
    if not away <= SAME_PLACE:
        return ["its sform lies elsewhere than its qform; the sform is taken"]
    return []


def canonical_affine(affine: Affine, shape: tuple[int, ...]) -> Affine:
    """The affine of voxels once they are turned to canonical orientation, where they have ``shape``."""
    import nibabel as nib

    turn = nib.io_orientation(affine)
    before = tuple(shape[int(axis)] for axis in turn[:, 0])
    return np.asarray(affine @ nib.orientations.inv_ornt_aff(turn, before))


def check_pair(
    image: tuple[Path, Affine], label: tuple[Path, Affine], shape: tuple[int, ...], what: str = "label"
) -> None:
    """Refuse a label that lies elsewhere than its image; both have ``shape``.

    Args:
        what: what an error calls it.

    Raises:
        UserError: another spacing, orientation or place.
    """
    import nibabel as nib

    (other, straight), (where, turned) = image, label
    check_spacing((other, spacing_of(straight)), (where, spacing_of(turned)), what)
    # Of axes near 45 degrees the codes may differ although the directions hardly do.
    names = ["".join(nib.aff2axcodes(one)) for one in (turned, straight)]
    alike = np.allclose(directions(turned), directions(straight), atol=SAME_DIRECTION)
    if not alike or names[0] != names[1]:
        raise UserError(
            f"{where}: {what} is oriented {names[0]}, its image {other.name} {names[1]}"
            + (" but turned" if names[0] == names[1] else "")
            + "; they must have the same orientation"
        )
    ends = np.array([(*corner, 1) for corner in itertools.product(*((0, side - 1) for side in shape[:3]))])
    away = np.abs(np.linalg.solve(straight, (turned - straight) @ ends.T)).max()
    if not away <= SAME_PLACE:
        raise UserError(
            f"{where}: {what} lies {away:.3g} voxels away from its image {other.name} (first voxels at "
            f"{_place(turned)} and {_place(straight)} mm); they must lie on one grid, so give the "
            f"{what} its image's affine if it was drawn on it, else resample it"
        )


def check_spacing(image: tuple[Path, Any], label: tuple[Path, Any], what: str = "label") -> None:
    """Refuse a label whose voxels have other lengths (mm) than its image's.

    Raises:
        UserError: they do.
    """
    (other, theirs), (where, ours) = image, label
    if not np.allclose(ours, theirs, rtol=SAME_LENGTH):
        raise UserError(
            f"{where}: {what} has a spacing of {sides(ours)} mm, its image {other.name} {sides(theirs)} "
            "mm; they must have the same spacing"
        )


def spacing_of(affine: Affine) -> NDArray[np.float64]:
    """Lengths (mm) of the three voxel axes."""
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt((affine[:3, :3] ** 2).sum(axis=0)))


def directions(affine: Affine) -> NDArray[np.float64]:
    """Unit vectors along the three voxel axes, as columns."""
    with np.errstate(all="ignore"):
        return np.asarray(affine[:3, :3] / spacing_of(affine))


def _usable(affine: Affine) -> bool:
    lengths, axes = spacing_of(affine), directions(affine)
    flat = abs(np.linalg.det(axes)) < 1e-3 if np.isfinite(axes).all() else True
    placed = bool(np.isfinite(affine).all())
    return placed and not flat and bool(((lengths > SPACING[0]) & (lengths < SPACING[1])).all())


def _checked(affine: Affine, path: Path) -> Affine:
    if not _usable(affine):
        raise UserError(
            f"{path}: its affine is degenerate (voxels of {sides(spacing_of(affine))} mm); its three axes "
            f"must have lengths, {SPACING[0]:g} to {SPACING[1]:g} mm, and point three ways"
        )
    return affine


def sides(lengths: Any) -> str:
    """``1x1x2.5``."""
    return "x".join(f"{side:g}" for side in lengths)


def _place(affine: Affine) -> str:
    return "(" + ", ".join(f"{at:.6g}" for at in affine[:3, 3]) + ")"
