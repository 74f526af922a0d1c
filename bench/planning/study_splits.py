"""Which patients a study trains on, chooses by and tests: its splits, given, kept or made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.data.dataset import Dataset
from bench.data.folds import folds_by_patient
from bench.data.splits import Split, fingerprint_of, split_by_patient
from bench.data.splits_file import read_splits
from bench.data.teacher_saw import check_named, check_unseen, patients_seen, tell_seen, with_unseen_tested
from bench.errors import UserError
from bench.planning.options import Options


def splits_of(
    root: Path, dataset: Dataset, options: Options, frozen: dict[str, Any] | None
) -> tuple[Split, ...]:
    """The folds of ``--splits``, of the study in ``root``, or new ones; they test nobody a teacher saw.

    Args:
        frozen: the study's settings, of these very data; None of a new one.

    Raises:
        UserError: another number of folds than the study or the file has, a lost file that can't be made
            again, a file that doesn't fit the dataset.
    """
    return _unseen(root, dataset, options, _splits(root, dataset, options, frozen))


def _splits(
    root: Path, dataset: Dataset, options: Options, frozen: dict[str, Any] | None
) -> tuple[Split, ...]:
    kept = root / "splits.json"
    path = options.splits or (kept if kept.is_file() else None)
    if frozen is not None and options.folds not in (None, frozen.get("folds")):
        begun = f"with {frozen['folds']} folds" if "folds" in frozen else "without folds"
        raise UserError(
            f"{options.folds} folds: {root} was begun {begun}; name another folder with --results"
        )
    if path is None:
        count = options.folds or (frozen or {}).get("folds")  # of a study that has lost its file
        made = folds_by_patient(dataset, count) if count else (split_by_patient(dataset),)
        if frozen is not None and "teacher_saw" not in frozen:
            _check_lost(kept, frozen, made)
        return made
    splits = read_splits(path, dataset)
    if options.folds and options.folds != len(splits):
        raise UserError(
            f"{options.folds} folds: {path} holds {len(splits)}; leave the number of folds out, or --splits"
        )
    return splits


def _check_lost(path: Path, frozen: dict[str, Any], made: tuple[Split, ...]) -> None:
    """Refuse to make a lost split again that was a user's own."""
    if frozen.get("split") != fingerprint_of(made):
        raise UserError(
            f"{path}: is missing, and the study's split is not the one that is made by default; "
            "give its file with --splits again"
        )


def _unseen(root: Path, dataset: Dataset, options: Options, splits: tuple[Split, ...]) -> tuple[Split, ...]:
    """The splits where nobody is tested whom the given teacher saw: made so, or found so in a study."""
    seen = None if options.teacher_saw is None else patients_seen(options.teacher_saw)
    if seen is None:
        return splits
    check_named(seen, dataset)
    kept = root / "splits.json"
    if kept.is_file() and options.splits is None:
        check_unseen(splits, dataset, seen, kept)
    else:
        splits = with_unseen_tested(splits, dataset, seen)
    tell_seen(seen, dataset, splits)
    return splits
