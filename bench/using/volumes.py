"""Volumes to predict, whole or some planes at a time, and their masks on the grid that the files have.

Networks see volumes in canonical orientation (RAS+), as in training. A mask is turned back, so that it has
shape, spacing, orientation and affine of its image, whatever the order of the axes in the file.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data import nifti
from bench.data.nifti_affine import canonical_affine
from bench.errors import UserError
from bench.study.predictions import Labels
from bench.using import dicom

CANONICAL = np.array([[0, 1], [1, 1], [2, 1]])
PLACE = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""Fields of a header that say where voxels lie. No other is copied: some hold names."""


@dataclass
class Volume:
    """A volume that is open; its voxels are read when they are asked for.

    ``images``: one opened file, of one or several channels, or one a channel.
    """

    images: tuple[nifti.Opened, ...]
    channels: int
    preferred: str = ""
    """``sform`` or ``qform``, which counts where a header's two differ."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along right, front and head."""
        order = self._orientation[:, 0].argsort()
        x, y, z = (int(self.images[0].shape[int(axis)]) for axis in order)
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along right, front and head."""
        return nifti.canonical_spacing(self.images[0])

    @property
    def affine(self) -> NDArray[np.float64]:
        """From the file's own voxels to mm, right, front and head."""
        found: NDArray[np.float64] = np.asarray(self.images[0].affine, float)
        return found

    @property
    def canonical_affine(self) -> NDArray[np.float64]:
        """The same from the voxels of ``whole``."""
        return canonical_affine(self.affine, self.shape)

    @property
    def _orientation(self) -> NDArray[np.float64]:
        import nibabel as nib

        found: NDArray[np.float64] = nib.io_orientation(self.affine)
        return found

    def whole(self) -> NDArray[np.generic]:
        """``(C, x, y, z)``.

        Raises:
            UserError: a file ends early, or holds NaN or something else than real numbers.
        """
        arrays = [nifti.canonical_array(image) for image in self.images]
        return np.stack(arrays) if arrays[0].ndim == 3 else np.moveaxis(arrays[0], -1, 0)

    def planes(self, axis: int, start: int, stop: int) -> NDArray[np.generic]:
        """``(C, ...)`` with the planes from ``start`` to ``stop`` along a canonical axis.

        Raises:
            UserError: as ``whole``.
        """
        import nibabel as nib

        orientation = self._orientation
        own = int(np.flatnonzero(orientation[:, 0] == axis)[0])
        if orientation[own, 1] < 0:
            side = self.images[0].shape[own]
            start, stop = side - stop, side - start
        where = [slice(None)] * 3
        where[own] = slice(start, stop)
        arrays = []
        for image in self.images:
            cut = nifti.read_voxels(image, tuple(where))
            arrays.append(nib.apply_orientation(cut, orientation))
        return np.stack(arrays) if arrays[0].ndim == 3 else np.moveaxis(arrays[0], -1, 0)

    def as_stored(self, mask: Labels) -> Labels:
        """A canonical mask on the file's own axes."""
        import nibabel as nib

        back = nib.orientations.ornt_transform(CANONICAL, self._orientation)
        turned: Labels = nib.apply_orientation(mask, back)
        return turned

    def write(self, mask: Labels, path: Path) -> None:
        """A canonical mask as NIfTI, on the grid of the volume's file."""
        import nibabel as nib

        like = self.images[0].image
        kind = nib.Nifti2Image if isinstance(like, nib.Nifti2Pair) else nib.Nifti1Image
        header = kind.header_class()
        header.set_data_dtype(np.uint8)
        header.set_data_shape(like.shape[:3])
        for name in PLACE:
            header[name] = like.header[name]
        header["pixdim"][4:] = 1
        nib.save(kind(self.as_stored(mask), None, header), path)


def open_volume(paths: Sequence[Path], channels: int, preferred: str = "") -> Volume:
    """One NIfTI file, or one a channel; ``preferred`` as of ``nifti.open_image``.

    Raises:
        UserError: unreadable files, files of other dimensions, or channels that do not fit each other.
    """
    per_file = channels if len(paths) == 1 else 1
    images = [nifti.open_image(path, per_file, preferred, "the network needs") for path in paths]
    for other in images[1:]:
        nifti.check_pair(images[0], other)
    return Volume(tuple(images), channels, preferred)


def open_series(paths: Sequence[Path], channels: int) -> Volume:
    """A DICOM series; its mask is placed as the scanner placed the slices.

    Raises:
        UserError: unreadable files, no even stack, or a network of several channels.
    """
    import nibabel as nib

    if channels > 1:
        raise UserError(f"{paths[0].parent}: a DICOM series has one channel; the network needs {channels}")
    voxels, affine = dicom.read_series(paths)
    image = nib.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    return Volume((nifti.Opened(paths[0], image, image.shape, affine, ()),), channels)


def unpacked(volume: Volume, folder: Path) -> Volume:
    """The volume with its compressed files unpacked into ``folder``: planes can be read one by one then.

    No more than the headers say is written.

    Raises:
        UserError: a damaged file.
    """
    import nibabel as nib

    ready = []
    for number, opened in enumerate(volume.images):
        name = str(opened.image.get_filename() or "")
        if not name.casefold().endswith(".gz"):
            ready.append(opened)
            continue
        nifti.check_whole(opened)
        size = nifti.stated_bytes(opened.image)
        target = folder / f"{number}.nii"
        try:
            with gzip.open(name) as packed, target.open("wb") as file:
                while size > 0 and (piece := packed.read(min(size, 2**24))):
                    file.write(piece)
                    size -= len(piece)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            size = 1
        if size > 0:
            raise UserError(f"{name}: damaged, its voxels can't be read to the end")
        ready.append(replace(opened, image=nib.load(target)))
    return replace(volume, images=tuple(ready))


def scratch_mask(shape: Sequence[int], folder: Path) -> Labels:
    """A mask that lies in a file without a name, for masks that memory might not hold."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.uint8, "w+", shape=tuple(shape))
