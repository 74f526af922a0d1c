"""Splits by patient: all jobs of a fold train, select and are tested on the same cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.files.checksums import digest

TEST_SHARE, VAL_SHARE = 0.20, 0.145
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Case names by part."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Changes whenever a case moves."""
        return digest(json.dumps([self.train, self.val, self.test]))

    def indices(self, dataset: Dataset, part: str) -> list[int]:
        """Positions in ``dataset`` of the cases of ``part``."""
        where = {case: position for position, case in enumerate(dataset.cases)}
        return [where[case] for case in getattr(self, part)]


def untested(dataset: Dataset, splits: Sequence[Split]) -> list[str]:
    """What to say where folds leave cases without a test, or a split leaves them out."""
    several, total = len(splits) > 1, len(dataset.cases)
    left = {"the test of no fold": total - sum(len(split.test) for split in splits)} if several else {}
    for number, split in enumerate(splits):
        named = sum(len(getattr(split, part)) for part in PARTS)
        left["no part of " + (f"fold {number}" if several else "the split")] = total - named
    return [f"{count} of {total} cases are in {where}" for where, count in left.items() if count]


def fingerprint_of(splits: Sequence[Split]) -> str:
    """Of a study's split, or of all its folds."""
    return splits[0].fingerprint if len(splits) == 1 else digest(*(split.fingerprint for split in splits))


def usable_unlabelled(dataset: Dataset, split: Split) -> list[int]:
    """Positions of the images without masks that may be learned from: of no patient that is scored."""
    held = {dataset.patients[k] for part in ("val", "test") for k in split.indices(dataset, part)}
    return [k for k, patient in enumerate(dataset.unlabelled.patients) if patient not in held]


def cases_by_patient(dataset: Dataset) -> dict[str, list[str]]:
    """The cases of each patient, patients sorted by name."""
    found: dict[str, list[str]] = {patient: [] for patient in sorted(set(dataset.patients))}
    for case, patient in zip(dataset.cases, dataset.patients, strict=True):
        found[patient].append(case)
    return found


def split_by_patient(dataset: Dataset) -> Split:
    """Shuffle the patients (always the same way) and fill test, then validation, then training.

    About 20 % of the cases become the test set and 14.5 % validation.

    Raises:
        UserError: too few patients for three parts.
    """
    by_patient = cases_by_patient(dataset)
    patients = list(by_patient)
    if len(patients) < 3:
        raise UserError(
            f"dataset {dataset.name}: {len(dataset.cases)} cases of {len(patients)} patient(s), "
            f"{' and '.join(map(repr, patients))}, can't be split; training, validation and test need at "
            "least one each; are these the patients that you mean?"
        )
    order = [patients[k] for k in np.random.default_rng(0).permutation(len(patients))]
    total = len(dataset.cases)
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for position, patient in enumerate(order):
        left = len(order) - position
        if len(parts["test"]) < TEST_SHARE * total and (left > 2 or not parts["test"]):
            part = "test"
        elif len(parts["val"]) < VAL_SHARE * total and (left > 1 or not parts["val"]):
            part = "val"
        else:
            part = "train"
        parts[part] += by_patient[patient]
    return Split(*(tuple(parts[part]) for part in PARTS))
