"""nnU-Net's file of splits: ``[{"train": [case, ...], "val": [...], "test": [...]}]``, one entry a fold.

nnU-Net's own files have no ``test``: the ``val`` of its fold k is the test of fold k, and validation
patients are drawn from the fold's training part (``bench/data/folds.py``). Where there is but one fold, its
``val`` stays, and cases that it doesn't name are the test.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bench.data.dataset import Dataset
from bench.data.folds import with_validation
from bench.data.patients import nfc
from bench.data.splits import PARTS, Split
from bench.errors import UserError
from bench.files.atomic import write_text
from bench.files.checked import check, read_json

log = logging.getLogger(__name__)

Cases = list[Annotated[str, AfterValidator(nfc)]]


class Fold(BaseModel):
    """A fold as the file has it; a part that is spelled wrongly must not become the test set."""

    model_config = ConfigDict(extra="forbid")

    train: Cases
    val: Cases
    test: Cases = []


Folds = Annotated[list[Fold], Field(min_length=1)]
FORM = '[{"train": [...], "val": [...], "test": [...]}]'


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write nnU-Net's form, each fold with its test."""
    folds = [{part: list(getattr(split, part)) for part in PARTS} for split in splits]
    write_text(path, json.dumps(folds, indent=1) + "\n")


def read_splits(path: Path, dataset: Dataset) -> tuple[Split, ...]:
    """Read every fold and check it against the dataset.

    Raises:
        UserError: not the form above, an unknown case, a case or patient in two parts of a fold or in the
            test of two folds, an empty part.
    """
    content = read_json(path)
    if content is None:
        raise UserError(f"{path}: not a splits file, for it is missing; it must hold {FORM}")
    folds: list[Fold] = check(Folds, content, f"{path}: not a splits file, which holds {FORM}")
    with_test = ["test" in fold.model_fields_set for fold in folds]
    if any(with_test) and not all(with_test):
        raise UserError(f"{path}: some folds have a test part and some have none; all must, or none")
    several = len(folds) > 1
    splits = []
    for number, fold in enumerate(folds):
        parts = {"train": fold.train, "val": fold.val, "test": fold.test}
        if not with_test[number] and not several:
            named = {*fold.train, *fold.val}
            parts["test"] = [case for case in dataset.cases if case not in named]
            log.info(f"{path}: the {len(parts['test'])} cases that it does not name are the test")
        _check_parts(f"{path}: fold {number}: " if several else f"{path}: ", parts, dataset)
        if not with_test[number] and several:
            try:
                splits.append(Split(**with_validation(dataset, fold.train, fold.val, number)))
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
        else:
            splits.append(Split(*(tuple(parts[part]) for part in PARTS)))
    if several:
        _check_folds(path, splits, dataset)
    return tuple(splits)


def _check_parts(where: str, parts: dict[str, list[str]], dataset: Dataset) -> None:
    """Refuse a fold that names what is not there, or a case or patient in two parts."""
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    home: dict[str, str] = {}
    seen: set[str] = set()
    for part, cases in parts.items():
        for case in cases:
            if case not in patient_of:
                raise UserError(f"{where}{part} names {case!r}, which dataset {dataset.name} lacks")
            if case in seen:
                raise UserError(f"{where}case {case!r} is named twice")
            seen.add(case)
            patient = patient_of[case]
            if home.setdefault(patient, part) != part:
                raise UserError(
                    f"{where}patient {patient!r} is in {home[patient]} and in {part}; "
                    "all cases of a patient belong to one part"
                )
    for part in ("train", "val"):
        if not parts[part]:
            raise UserError(f"{where}{part} is empty")


def _check_folds(path: Path, splits: Sequence[Split], dataset: Dataset) -> None:
    """Refuse folds that test a patient twice, or nobody."""
    patient_of = dict(zip(dataset.cases, dataset.patients, strict=True))
    home: dict[str, int] = {}
    for number, split in enumerate(splits):
        for case in split.test:
            patient = patient_of[case]
            if home.setdefault(patient, number) != number:
                raise UserError(
                    f"{path}: patient {patient!r} is tested in fold {home[patient]} and in fold {number}; "
                    "every patient belongs to the test of one fold"
                )
        if not split.test:
            raise UserError(f"{path}: fold {number} tests no case")
