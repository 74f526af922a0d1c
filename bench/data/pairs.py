"""Which image goes with which mask and with which patient: ``images/``, ``masks/`` and ``index.csv``.

An image and its mask have the same name, or names that differ in their ending alone. Names that Unicode
writes in two ways are one name (NFC). Images under ``unlabelled/`` have no mask, nor have those whose row
has an empty field in a column ``mask``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.index_csv import Row, read_index
from bench.data.patients import Patients, by_key, nfc
from bench.errors import UserError
from bench.files.checked import check_name


@dataclass(frozen=True)
class Pair:
    """A case; ``spacing`` in millimetres, rows first, and empty where ``index.csv`` has none."""

    case: str
    image: Path
    mask: Path
    patient: str
    spacing: tuple[float, ...] = ()


@dataclass(frozen=True)
class Alone:
    """An image without a mask."""

    case: str
    image: Path
    patient: str


def find_pairs(root: Path, patients: Patients) -> tuple[list[Pair], list[Alone]]:
    """All cases of the folder and all images without masks, sorted by name: the order of rows says nothing.

    Raises:
        UserError: anything missing, left over or contradictory; the line names the file.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; --data must name the dataset's folder")
    index = root / "index.csv"
    if patients.column and patients.key:
        raise UserError(
            f"--patient-column {patients.column!r} and --patient-key {patients.key!r}: give one of them"
        )
    rows: list[Row] | None = None
    if index.exists():
        rows = read_index(index, patients)
    elif not patients.key:
        other = "; --patient-key finds the patient in files' names without one"
        raise UserError(f"{root}: index.csv is missing; see docs/adding-a-dataset.md for the layout{other}")
    images, masks = _Names(root / "images"), _Names(root / "masks")
    unlabelled = _Names(root / "unlabelled", optional=True)
    listed = rows is not None
    if rows is None:
        both = [(names.folder / name, name) for names in (images, unlabelled) for name in names.stored]
        rows = [Row(str(path), name, "", ()) for path, name in both]
    if not rows:
        raise UserError(f"{root}: no images; put them under images/ with a row each in index.csv")
    pairs: list[Pair] = []
    alone: list[Alone] = []
    for row in rows:
        case = Path(nfc(row.file)).stem
        patient = row.patient or check_name(nfc(by_key(patients.key)(case)), f"the patient of {case!r}")
        image, mask = images.named(nfc(row.file)), masks.of_case(case)
        path = _without_mask(row, unlabelled, images, masks)
        if path is not None:
            alone.append(Alone(case, path, patient))
            continue
        for kind, found in (("images", image), ("masks", mask)):
            if found is None:
                what = f"it has no {kind[:-1]}"
                why = f"index.csv lists it but {what}" if listed else f"{what}; remove the image or add one"
                raise UserError(f"{root / kind / row.file}: missing; {why}")
        _check_named(row, str(mask), masks)
        pairs.append(
            Pair(case, root / "images" / str(image), root / "masks" / str(mask), patient, row.spacing)
        )
    if not pairs:
        raise UserError(f"{root}: no image has a mask; networks learn from some, and are scored with some")
    used = {path for kept in (pairs, alone) for path in (one.image for one in kept)}
    for names in (images, unlabelled):
        _check_left_over(names, {path.name for path in used if path.parent == names.folder}, listed)
    _check_left_over(masks, {pair.mask.name for pair in pairs}, listed)
    _check_twice(index if listed else root / "images", rows)
    _check_shared(
        [path for pair in pairs for path in (pair.image, pair.mask)] + [one.image for one in alone]
    )
    return sorted(pairs, key=lambda pair: pair.case), sorted(alone, key=lambda one: one.case)


def _without_mask(row: Row, unlabelled: _Names, images: _Names, masks: _Names) -> Path | None:
    """The image of a row that has no mask; None where it must have one."""
    file = nfc(row.file)
    image, alone, mask = images.named(file), unlabelled.named(file), masks.of_case(Path(file).stem)
    if (alone is None and row.masked) or (alone is None and image is None):
        return None
    path = images.folder / str(image) if alone is None else unlabelled.folder / alone
    if alone is not None and image is not None:
        raise UserError(f"{path}: there is images/{image} as well; an image has a mask or has none")
    if mask is not None:
        why = "its field 'mask' in index.csv is empty" if alone is None else "it lies in unlabelled/"
        raise UserError(f"{masks.folder / mask}: its image should have no mask, for {why}; correct one")
    return path


def _check_named(row: Row, mask: str, masks: _Names) -> None:
    """Refuse a row that names another mask than the one that has its image's name."""
    named = Path(row.mask or "").name
    if Path(named).suffix and masks.named(named) != mask:
        raise UserError(
            f"{row.where}: names the mask {row.mask!r}, but a mask has its image's name, here "
            f"masks/{mask}; rename the file, or correct the field"
        )


class _Names:
    """The files of a folder, found by name or by what a name is without its ending."""

    def __init__(self, folder: Path, optional: bool = False) -> None:
        there = folder.is_dir()
        if not there and not (optional and not folder.exists()):
            raise UserError(f"{folder}: no such folder")
        self.folder = folder
        self.stored: dict[str, str] = {}
        """Names as they are stored, by their NFC."""
        self._near: dict[str, list[str]] = {}
        for path in sorted(folder.iterdir()) if there else ():
            if path.name.startswith("."):
                continue
            if path.is_dir():
                raise UserError(f"{path}: a folder; files must lie in {folder.name}/ itself")
            name = check_name(nfc(path.name), folder)
            if name in self.stored:
                raise UserError(f"{path}: there is another file whose name differs in Unicode's form alone")
            self.stored[name] = path.name
            self._near.setdefault(Path(name).stem.casefold(), []).append(name)

    def named(self, wanted: str) -> str | None:
        """The stored name of a file; upper and lower case may differ where that leaves one."""
        near = self._near.get(Path(wanted).stem.casefold(), [])
        same = [name for name in near if name.casefold() == wanted.casefold()]
        return self.stored.get(wanted) or (self.stored[same[0]] if len(same) == 1 else None)

    def of_case(self, case: str) -> str | None:
        """The stored name of a case's file, whatever its ending.

        Raises:
            UserError: several files are of that case.
        """
        near = self._near.get(case.casefold(), [])
        same = [name for name in near if Path(name).stem == case] or near
        if len(same) > 1:
            first, second = (f"{self.folder.name}/{name}" for name in same[:2])
            raise UserError(f"{self.folder / same[0]}: {first} and {second} are of one case; remove one")
        return self.stored[same[0]] if same else None


def _check_left_over(names: _Names, used: set[str], listed: bool) -> None:
    """Refuse a file that no case has."""
    extra = sorted(set(names.stored.values()) - used)
    if extra and listed:
        raise UserError(f"{names.folder / extra[0]}: no row in index.csv; add one or remove the file")
    if extra:
        raise UserError(f"{names.folder / extra[0]}: has no image; add it or remove the mask")


def _check_twice(where: Path, rows: Sequence[Row]) -> None:
    """Refuse a file or a case that is there twice."""
    files = [nfc(row.file) for row in rows]
    for what, names in (("file", files), ("case", [Path(file).stem for file in files])):
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise UserError(f"{where}: {name} is listed {count} times; one row a {what}, one file a case")


def _check_shared(paths: Sequence[Path]) -> None:
    """Refuse a file that two cases have, whose names differ in upper and lower case alone."""
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{path}: {count} cases have this file, for their names differ in upper and lower case alone; "
            "every image and every mask needs a file of its own"
        )
