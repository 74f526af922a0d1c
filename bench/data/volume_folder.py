"""A folder of 3-D volumes to a dataset; ``volume_layout`` says which files it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.data import nifti
from bench.data.dataset import Dataset, fingerprint
from bench.data.decoded import decode_once
from bench.data.patients import nfc
from bench.data.volume_layout import Entry, Layout, read_layout
from bench.errors import UserError
from bench.files.checked import check_name
from bench.files.checksums import digest

NO_KEY = "no patient key: a volume is taken for a patient"


def load(
    name: str,
    root: Path,
    patient: Callable[[str], str] | None = None,
    cache: Path | None = None,
    window: tuple[float, float] | None = None,
    note: str = NO_KEY,
    affine: str = "",
) -> Dataset:
    """Read the folder ``root``.

    Args:
        patient: a case's name to its patient; None: every volume is a patient of its own.
        window: for CT; None leaves it to the training volumes (``bench/data/prepared_volumes.py``).
        affine: ``sform`` or ``qform``, which counts where the headers of files contradict themselves;
            empty: such files are refused.

    Raises:
        UserError: anything missing, unreadable or contradictory; the line names the file.
    """
    layout = read_layout(root)
    spacing, turns, odd = _open_all(root, layout, affine)
    cases = [entry.case for entry in layout.entries]
    patients = [
        check_name(nfc(patient(case)), f"the patient of {case!r}") if patient else case for case in cases
    ]
    files = [path for entry in layout.entries for path in (*entry.images, entry.label)]
    declared = json.dumps([cases, layout.modalities, sorted(layout.labels.items())])
    parts = ["volumes", declared, *(_checksum(path) for path in files), *filter(None, [affine])]
    stored_as = f"{name}-{digest(*parts)}"
    images, masks, contents = decode_once(cache, stored_as, len(cases), lambda: _decode(layout, affine))
    window = None if window is None else (float(window[0]), float(window[1]))
    decides = [layout.modalities, sorted(layout.labels.items()), window]
    return Dataset(
        name=name,
        cases=tuple(cases),
        patients=tuple(patients),
        images=images,
        masks=masks,
        classes=tuple(layout.labels[value] for value in sorted(layout.labels)[1:]),
        fingerprint=fingerprint(cases, patients, contents, spacing, decides),
        window=window,
        note=note,
        licence=layout.licence,
        spacing=tuple(spacing),
        modalities=layout.modalities,
        stored_as=stored_as,
        contents=tuple(contents),
        warnings=(*layout.odd, *odd),
        turns=tuple(turns),
    )


def _open_all(
    root: Path, layout: Layout, affine: str
) -> tuple[list[tuple[float, ...]], list[tuple[tuple[float, ...], ...]], list[str]]:
    """Check the headers of all files: spacing and turn of each case; what is odd, a line a kind."""
    spacing: list[tuple[float, ...]] = []
    turns = []
    odd: dict[str, list[Path]] = {}
    for entry in layout.entries:
        images, label = _opened(entry, layout, affine)
        for image in images:
            nifti.check_pair(image, label)
        spacing.append(nifti.canonical_spacing(label))
        turns.append(nifti.turn(label))
        for one in (*images, label):
            for text in one.odd:
                odd.setdefault(text, []).append(one.path)
    lines = []
    for text, paths in odd.items():
        more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
        lines.append(f"{paths[0].relative_to(root).as_posix()}{more}: {text}")
    return spacing, turns, lines


def _opened(entry: Entry, layout: Layout, affine: str) -> tuple[list[nifti.Opened], nifti.Opened]:
    """The files of a case: its images, one or one a channel, and its label."""
    channels = len(layout.modalities)
    per_file = 1 if len(entry.images) == channels else channels
    label = nifti.open_image(entry.label, 1, affine)
    return [nifti.open_image(path, per_file, affine) for path in entry.images], label


def _checksum(path: Path) -> str:
    """Of the content, without holding it in memory."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None


def _decode(layout: Layout, affine: str) -> tuple[list, list]:
    images, masks = [], []
    for entry in layout.entries:
        opened, label = _opened(entry, layout, affine)
        arrays = [nifti.canonical_array(one) for one in opened]
        image = np.moveaxis(arrays[0], -1, 0) if arrays[0].ndim == 4 else np.stack(arrays)
        images.append(nifti.intensities(image, entry.images[0]))
        masks.append(nifti.class_indices(nifti.canonical_array(label), entry.label, layout.labels))
    return images, masks
