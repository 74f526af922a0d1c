"""Who the patient of a case is, and whether that is likely what was meant."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.data.dataset import Dataset
from bench.errors import UserError

ALONE = 0.9
"""Patients as a share of images, from which on hardly anybody has two."""
NOBODY = ("na", "n/a", "nan", "none", "null", "unknown", "anonymous", "-", "?")
"""What stands where a table has no name."""


@dataclass(frozen=True)
class Patients:
    """Where the patient of a case is found: a column of ``index.csv``, or a part of the case's name."""

    column: str = ""
    key: str = ""
    """A regular expression."""


def nfc(name: str) -> str:
    """Names that Unicode writes in two ways are one name."""
    return unicodedata.normalize("NFC", name)


def by_key(pattern: str) -> Callable[[str], str]:
    """``--patient-key``: the groups of a regular expression (without groups, its match) name the patient.

    Raises:
        UserError: not a regular expression, or a case in which it finds nothing.
    """
    try:
        key = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--patient-key {pattern!r}: not a regular expression ({error})") from None

    def patient(case: str) -> str:
        match = key.search(case)
        found = "-".join(filter(None, match.groups() or (match[0],))) if match else ""
        if not found:
            raise UserError(f"--patient-key {pattern!r}: finds no patient in the case {case!r}")
        return found

    return patient


def odd_patients(dataset: Dataset) -> list[str]:
    """What to say where the patients are hardly those that were meant, a line each.

    A volume usually is a patient of its own; an image of a stack is not.
    """
    count = Counter(dataset.patients)
    patient, most = count.most_common(1)[0]
    cases = len(dataset.cases)
    odd = []
    slices = dataset.spatial_dims == 2 or all(min(mask.shape) == 1 for mask in dataset.masks)
    if slices and cases > 1 and len(count) > ALONE * cases:
        whose = "every one" if most == 1 else "nearly every one"
        odd.append(
            f"{whose} of the {cases} images is of a patient of its own; images of one person in two "
            "parts of the split make scores too good"
        )
    elif len(count) > 1 and most > cases / 2:
        odd.append(f"patient {patient!r} has {most} of the {cases} cases")
    nobody = sorted(name for name in count if name.casefold() in NOBODY and count[name] > 1)
    if nobody:
        odd.append(f"patient {nobody[0]!r} has {count[nobody[0]]} cases: is that one person?")
    every = {*count, *dataset.unlabelled.patients}
    folded = Counter(name.casefold() for name in every)
    twice = sorted(name for name in every if folded[name.casefold()] > 1)
    if twice:
        odd.append(
            f"patients {twice[0]!r} and {twice[1]!r} differ in upper and lower case alone: taken for two"
        )
    return odd


def read_patients(path: Path, said: str, instead: str = "") -> frozenset[str]:
    """The patients that a text file names, one a line.

    Args:
        path: the file.
        said: the option that named it, for errors.
        instead: what might stand there instead of a file.

    Raises:
        UserError: no such file, or one that names nobody.
    """
    must = f"must be a file with a patient a line{instead}"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not text in UTF-8"
        raise UserError(f"{said}: can't be read ({why}); {must}") from None
    named = frozenset(nfc(line.strip()) for line in lines if line.strip())
    if not named:
        raise UserError(f"{said}: names no patient; {must}")
    return named
