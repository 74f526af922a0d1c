"""Folds: every patient is tested once, by networks that never saw it.

Folds and their validation parts are stratified by the size of the organ, the mean share of a patient's
images that is foreground: patients of like size are dealt to different folds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from bench.data.dataset import Dataset
from bench.data.splits import VAL_SHARE, Split, cases_by_patient
from bench.errors import UserError

SMALLEST = 3
"""Patients that folds need: one to test, one to select by, one to learn from."""


def folds_by_patient(dataset: Dataset, count: int) -> tuple[Split, ...]:
    """``count`` folds over all patients, always the same ones.

    Raises:
        UserError: more folds than the patients allow.
    """
    order = _by_size(dataset, set(dataset.patients))
    if len(order) < SMALLEST or len(order) < count or -(-len(order) // count) > len(order) - 2:
        raise UserError(
            f"--folds {count}: dataset {dataset.name} has {len(order)} patients; every fold needs at least "
            "one each for training, validation and test, "
            + (
                f"so 2 to {len(order)} folds"
                if len(order) > SMALLEST
                else f"so {SMALLEST} patients and folds"
            )
        )
    rng = np.random.default_rng(0)
    home: dict[str, int] = {}
    for start in range(0, len(order), count):
        home.update(zip(order[start : start + count], rng.permutation(count).tolist(), strict=False))
    by_patient = cases_by_patient(dataset)
    splits = []
    for fold in range(count):
        parts: dict[bool, list[str]] = {True: [], False: []}
        for patient, cases in by_patient.items():
            parts[home[patient] == fold] += cases
        splits.append(Split(**with_validation(dataset, parts[False], parts[True], fold)))
    return tuple(splits)


def with_validation(
    dataset: Dataset, rest: Collection[str], test: Collection[str], fold: int
) -> dict[str, tuple[str, ...]]:
    """The parts of a fold that tests ``test``: validation patients are drawn from ``rest``.

    They are 14.5 % of all the patients, one from each of as many groups of like organs.

    Raises:
        UserError: ``rest`` is one patient only.
    """
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    order = _by_size(dataset, {patient_of[case] for case in rest})
    if len(order) < 2:
        raise UserError(f"fold {fold}: its training part is one patient; validation needs another one")
    tested = len({patient_of[case] for case in test})
    wanted = min(len(order) - 1, max(1, round(VAL_SHARE * (len(order) + tested))))
    rng = np.random.default_rng([fold, 1])
    drawn = {str(rng.choice(group)) for group in np.array_split(np.array(order), wanted)}
    train = tuple(case for case in rest if patient_of[case] not in drawn)
    val = tuple(case for case in rest if patient_of[case] in drawn)
    return {"train": train, "val": val, "test": tuple(test)}


def _by_size(dataset: Dataset, patients: Iterable[str]) -> list[str]:
    """Patients by the size of their organ, the smallest first."""
    shares: dict[str, list[float]] = {patient: [] for patient in patients}
    for patient, mask in zip(dataset.patients, dataset.masks, strict=True):
        if patient in shares:
            shares[patient].append(np.count_nonzero(mask) / mask.size)
    return sorted(shares, key=lambda patient: (np.mean(shares[patient]), patient))
