"""Splitting by patient, and nnU-Net's ``splits.json``.

Every job of a study trains, selects and is tested on the same cases. The file is a list of folds,
``[{"train": [case, ...], "val": [...], "test": [...]}]``; this harness writes one fold and reads
the first. nnU-Net's own files have no ``test``: cases they don't name become it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from bench.data.dataset import Dataset
from bench.errors import UserError
from bench.files.atomic import write_text
from bench.files.checked import check, read_json
from bench.files.checksums import digest

TEST_SHARE, VAL_SHARE = 0.20, 0.145
PARTS = ("train", "val", "test")


class Fold(BaseModel):
    """A fold as the file has it; a part that is spelled wrongly must not become the test set."""

    model_config = ConfigDict(extra="forbid")

    train: list[str]
    val: list[str]
    test: list[str] = []


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


def split_by_patient(dataset: Dataset, train_cases: int | None = None) -> Split:
    """Shuffle the patients (always the same way) and fill test, then validation, then training.

    About 20 % of the cases become the test set and 14.5 % validation. ``train_cases`` caps the
    training set (whole cases, patient after patient), for studies of small sets.

    Raises:
        UserError: too few patients for three parts.
    """
    patients = sorted(set(dataset.patients))
    if len(patients) < 3:
        raise UserError(
            f"dataset {dataset.name}: {len(patients)} patient(s) can't be split; "
            "training, validation and test need at least one each"
        )
    by_patient: dict[str, list[str]] = {patient: [] for patient in patients}
    for case, patient in zip(dataset.cases, dataset.patients, strict=True):
        by_patient[patient].append(case)
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
    train = parts["train"][:train_cases]
    return Split(tuple(train), tuple(parts["val"]), tuple(parts["test"]))


Folds = Annotated[list[Fold], Field(min_length=1)]
FORM = '[{"train": [...], "val": [...], "test": [...]}]'


def write_splits(path: Path, split: Split) -> None:
    """Write nnU-Net's form."""
    fold = {part: list(getattr(split, part)) for part in PARTS}
    write_text(path, json.dumps([fold], indent=1) + "\n")


def read_splits(path: Path, dataset: Dataset) -> Split:
    """Read the first fold and check it against the dataset.

    Raises:
        UserError: not the form above, an unknown case, a case or patient in two parts, an empty part.
    """
    content = read_json(path)
    if content is None:
        raise UserError(f"{path}: not a splits file, for it is missing; it must hold {FORM}")
    folds = check(Folds, content, f"{path}: not a splits file, which holds {FORM}")
    parts = {"train": folds[0].train, "val": folds[0].val, "test": folds[0].test}
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    if "test" not in folds[0].model_fields_set:
        named = {*parts["train"], *parts["val"]}
        parts["test"] = [case for case in dataset.cases if case not in named]
    home: dict[str, str] = {}
    seen: set[str] = set()
    for part, cases in parts.items():
        for case in cases:
            if case not in patient_of:
                raise UserError(f"{path}: {part} names {case!r}, which dataset {dataset.name} lacks")
            if case in seen:
                raise UserError(f"{path}: case {case!r} is named twice")
            seen.add(case)
            patient = patient_of[case]
            if home.setdefault(patient, part) != part:
                raise UserError(
                    f"{path}: patient {patient!r} is in {home[patient]} and in {part}; "
                    "all cases of a patient belong to one part"
                )
    for part in ("train", "val"):
        if not parts[part]:
            raise UserError(f"{path}: {part} is empty")
    return Split(*(tuple(parts[part]) for part in PARTS))
