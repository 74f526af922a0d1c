"""Which patients a teacher from elsewhere has seen (``--teacher-saw``): they are never tested."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.patients import read_patients
from bench.data.splits import Split
from bench.errors import UserError
from bench.files.checksums import digest

log = logging.getLogger(__name__)

UNKNOWN = "unknown"


def patients_seen(said: str) -> frozenset[str] | None:
    """The patients of a text file, one a line; None where they are ``unknown``.

    Raises:
        UserError: no such file, or one that names nobody.
    """
    if said == UNKNOWN:
        return None
    return read_patients(Path(said), f"--teacher-saw {said}", f", or {UNKNOWN}")


def kept(said: str) -> str:
    """What a study keeps of it."""
    seen = patients_seen(said)
    return UNKNOWN if seen is None else digest(*sorted(seen))


def with_unseen_tested(
    splits: Sequence[Split], dataset: Dataset, seen: frozenset[str]
) -> tuple[Split, ...]:
    """The splits with those patients in training that the teacher saw and that would have been tested.

    Raises:
        UserError: nobody would be left to be tested.
    """
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    found = []
    for number, split in enumerate(splits):
        moved = tuple(case for case in split.test if patient_of[case] in seen)
        test = tuple(case for case in split.test if patient_of[case] not in seen)
        if split.test and not test:
            where = f"fold {number}" if len(splits) > 1 else "the test part"
            raise UserError(f"--teacher-saw: the teacher saw all patients of {where}; none is left to test")
        found.append(Split(split.train + moved, split.val, test))
    return tuple(found)


def check_unseen(splits: Sequence[Split], dataset: Dataset, seen: frozenset[str], where: Path) -> None:
    """Refuse a study that tests a patient whom the teacher saw."""
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    tested = sorted({patient_of[case] for split in splits for case in split.test} & seen)
    if tested:
        raise UserError(
            f"{where}: tests patient {tested[0]!r}, whom the teacher saw; name another folder with "
            "--results"
        )


def check_named(seen: frozenset[str], dataset: Dataset) -> None:
    """Refuse cases in the place of patients.

    Raises:
        UserError: there is one.
    """
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    if cases := sorted((seen - {*dataset.patients}) & patient_of.keys()):
        raise UserError(
            f"--teacher-saw: names case {cases[0]!r}; must name patients, here {patient_of[cases[0]]!r}"
        )


def tell_seen(seen: frozenset[str], dataset: Dataset, splits: Sequence[Split]) -> None:
    """Say how many of them there are here, and how many choose the epoch of each network."""
    here = seen & {*dataset.patients, *dataset.unlabelled.patients}
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    say = log.info if here else log.warning
    whose = "" if here else f", whose patients are called {', '.join(sorted(set(dataset.patients))[:3])}, …"
    say(f"--teacher-saw: {len(here)} of the {len(seen)} patients are in dataset {dataset.name}{whose}")
    validating = {patient_of[case] for split in splits for case in split.val}
    if both := validating & here:
        log.warning(
            f"--teacher-saw: the teacher saw {len(both)} of {len(validating)} validation patients; what it "
            "teaches looks better on them than on others"
        )
