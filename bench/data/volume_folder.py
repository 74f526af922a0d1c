"""A folder of 3-D volumes to a dataset; ``volume_layout`` says which files it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.data import nifti
from bench.data.dataset import Dataset, Unlabelled, fingerprint, nothing
from bench.data.decoded import decode_once
from bench.data.odd_content import check_not_the_same
from bench.data.patients import nfc
from bench.data.volume_layout import Alone, Entry, Layout, read_layout
from bench.errors import UserError
from bench.files.checked import check_name
from bench.files.checksums import checksum, digest

NO_KEY = "no patient key: a volume is taken for a patient"


def load(
    name: str,
    root: Path,
    patient: Callable[[str], str] | None = None,
    cache: Path | None = None,
    window: tuple[float, float] | None = None,
    note: str | None = None,
    affine: str = "",
) -> Dataset:
    """Read the folder ``root``.

    Args:
        patient: a case's name to its patient; None: every volume is a patient of its own.
        window: for CT; None leaves it to the training volumes (``bench/data/prepared_volumes.py``).
        note: what is said of the dataset; None: that nobody told the patients apart, where that is so.
        affine: ``sform`` or ``qform``, which counts where the headers of files contradict themselves;
            empty: such files are refused.

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    layout = read_layout(root)
    spacing, affines, odd = _open_all(root, layout, affine)
    count = len(layout.entries)
    cases = [entry.case for entry in layout.entries] + [entry.case for entry in layout.alone]
    patients = [
        check_name(nfc(patient(case)), f"the patient of {case!r}") if patient else case for case in cases
    ]
    declared = json.dumps([cases, layout.modalities, sorted(layout.labels.items())])
    parts = ["volumes", declared, *(_checksum(path) for path in layout.files), *filter(None, [affine])]
    stored_as = f"{name}-{digest(*parts)}"
    images, masks, contents = decode_once(cache, stored_as, len(cases), lambda: _decode(layout, affine))
    alone = Unlabelled(*(tuple(every[count:]) for every in (cases, patients, images, spacing, affines)))
    named = [(entry.images[0].name, who) for entry, who in zip(layout.entries, patients, strict=False)]
    check_not_the_same(images[:count], named, alone, [one.images[0] for one in layout.alone])
    window = None if window is None else (float(window[0]), float(window[1]))
    decides: list[object] = [layout.modalities, sorted(layout.labels.items()), window]
    decides += [[alone.cases, alone.patients, contents[count:], alone.spacing]] if layout.alone else []
    cases, patients, spacing, contents = cases[:count], patients[:count], spacing[:count], contents[:count]
    return Dataset(
        name=name,
        cases=tuple(cases),
        patients=tuple(patients),
        images=images[:count],
        masks=masks[:count],
        classes=tuple(layout.labels[value] for value in sorted(layout.labels)[1:]),
        fingerprint=fingerprint(cases, patients, contents, spacing, decides),
        window=window,
        note=(NO_KEY if patient is None else "") if note is None else note,
        licence=layout.licence,
        spacing=tuple(spacing),
        modalities=layout.modalities,
        stored_as=stored_as,
        contents=tuple(contents),
        warnings=(*layout.odd, *odd),
        affines=tuple(affines[:count]),
        affine=affine,
        unlabelled=alone,
        values=tuple(sorted(layout.labels)[1:]),
    )


def _open_all(
    root: Path, layout: Layout, affine: str
) -> tuple[list[tuple[float, ...]], list[nifti.Affine], list[str]]:
    """Check all headers: spacing and affine of each case, those without labels last; what is odd."""
    spacing: list[tuple[float, ...]] = []
    affines: list[nifti.Affine] = []
    odd: dict[str, list[Path]] = {}
    for entry in layout.entries:
        images, label = _opened(entry, layout, affine)
        for image in images:
            nifti.check_pair(image, label)
        _note(label, [*images, label], spacing, affines, odd)
    for alone in layout.alone:
        images = _images(alone, layout, affine)
        for image in images[1:]:
            nifti.check_pair(images[0], image)
        _note(images[0], images, spacing, affines, odd)
    lines = []
    for text, paths in odd.items():
        more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
        lines.append(f"{paths[0].relative_to(root).as_posix()}{more}: {text}")
    return spacing, affines, lines


def _note(
    first: nifti.Opened,
    opened: list[nifti.Opened],
    spacing: list[tuple[float, ...]],
    affines: list[nifti.Affine],
    odd: dict[str, list[Path]],
) -> None:
    """Add what the headers of a case say."""
    spacing.append(nifti.canonical_spacing(first))
    affines.append(first.affine)
    for one in opened:
        for text in one.odd:
            odd.setdefault(text, []).append(one.path)


def _opened(entry: Entry, layout: Layout, affine: str) -> tuple[list[nifti.Opened], nifti.Opened]:
    """The files of a case: its images, one or one a channel, and its label."""
    label = nifti.open_image(entry.label, 1, affine)
    return _images(entry, layout, affine), label


def _images(entry: Entry | Alone, layout: Layout, affine: str) -> list[nifti.Opened]:
    channels = len(layout.modalities)
    per_file = 1 if len(entry.images) == channels else channels
    return [nifti.open_image(path, per_file, affine) for path in entry.images]


def _checksum(path: Path) -> str:
    """Of the content."""
    try:
        return checksum(path)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None


def _decode(layout: Layout, affine: str) -> tuple[list, list]:
    images, masks = [], []
    for entry in layout.entries:
        opened, label = _opened(entry, layout, affine)
        images.append(_voxels(opened))
        masks.append(nifti.class_indices(nifti.canonical_array(label), entry.label, layout.labels))
    for alone in layout.alone:
        images.append(_voxels(_images(alone, layout, affine)))
        masks.append(nothing(images[-1]))
    return images, masks


def _voxels(opened: list[nifti.Opened]) -> np.ndarray:
    """``(C, x, y, z)`` of a case."""
    arrays = [nifti.canonical_array(one) for one in opened]
    image = np.moveaxis(arrays[0], -1, 0) if arrays[0].ndim == 4 else np.stack(arrays)
    return nifti.intensities(image, opened[0].path)
