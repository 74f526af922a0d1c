"""Whether maps of a teacher lie like their images, where shapes can't tell: masks of training cases do."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from bench.data.dataset import Dataset
from bench.data.teacher_maps import Maps, decisions, read_map
from bench.errors import UserError
from bench.protocol import USABLE_DICE

LOOKED_AT, COARSE = 24, 48
"""Cases, and voxels a side, by which it is judged whether maps lie like their masks."""
CLEARLY, CLEARLY_ONE = 0.1, 0.3
"""Dice by which another way of turning must fit better to be the right one: of all maps, of one."""
Overlaps = NDArray[np.float64]
Turn = tuple[tuple[int, ...], tuple[bool, ...]]
"""An order of the axes, and which of them are flipped."""


def check_agreement(maps: Maps, dataset: Dataset, cases: Iterable[str]) -> float:
    """Dice of the maps' decisions against the masks of some ``cases``, mean over classes.

    Where a shape can't tell that maps are turned, this does. NaN where no case holds an object.

    Raises:
        UserError: turned or flipped, or with classes in another order, they fit clearly better; or one map
            does.
    """
    each = {case: _overlaps(maps, dataset, case) for case in _telling(dataset, cases)}
    if not each:
        return np.nan
    overlaps: dict[Turn, list[Overlaps]] = {}
    for turn, found in (pair for own in each.values() for pair in own.items()):
        overlaps.setdefault(turn, []).append(found)
    with warnings.catch_warnings(action="ignore"):  # of classes that none of these cases has
        whole = {turn: np.nanmean(own, axis=0) for turn, own in overlaps.items() if len(own) == len(each)}
        fits = {turn: float(np.nanmean(np.diag(own))) for turn, own in whole.items()}
    as_it_is = next(iter(fits))
    best = max(fits, key=lambda turn: fits[turn])
    straight = np.nan_to_num(whole[as_it_is])
    rows, columns = linear_sum_assignment(-straight)
    sorted_fit = float(straight[rows, columns].mean())
    where = f"--teacher-maps {maps.folder}: Dice {fits[as_it_is]:.2f} to the training masks, but"
    if len(dataset.classes) == 1 and fits[as_it_is] < USABLE_DICE:
        inverted = _fit_of_rest(maps, dataset, each)
        if inverted > fits[best] + CLEARLY:
            raise UserError(
                f"{where} {inverted:.2f} if they are inverted; the last channel must be the probability of "
                f"{dataset.classes[0]}"
            )
    if sorted_fit > fits[as_it_is] + CLEARLY and sorted_fit >= fits[best]:
        said = ", ".join(dataset.classes[k] for k in np.argsort(columns))
        raise UserError(
            f"{where} {sorted_fit:.2f} if the channels are {said}; must be {', '.join(dataset.classes)}"
        )
    if fits[best] > fits[as_it_is] + CLEARLY:
        raise UserError(f"{where} {fits[best]:.2f} {_how(*best)}; maps must lie like their images")
    for case, own in each.items():
        _check_one(own, maps.files[case])
    return fits[as_it_is]


def _telling(dataset: Dataset, cases: Iterable[str]) -> list[str]:
    """Cases that hold an object, of as many patients as there are: each one's first, then its second ..."""
    number = {case: k for k, case in enumerate(dataset.cases)}
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int, str]] = []
    for case in cases:
        if dataset.masks[number[case]].any():
            patient = dataset.patients[number[case]]
            ranked.append((seen[patient], len(ranked), case))
            seen[patient] += 1
    return [case for _, _, case in sorted(ranked)[:LOOKED_AT]]


def _overlaps(maps: Maps, dataset: Dataset, case: str) -> dict[Turn, Overlaps]:
    """Of each way of turning a map the Dice of each class of the mask with each of the map."""
    classes = range(1, len(dataset.classes) + 1)
    mask = dataset.masks[dataset.cases.index(case)]
    decided = decisions(read_map(maps.files[case], dataset, case))
    step = tuple(slice(None, None, -(-side // COARSE)) for side in mask.shape)
    mask, decided = mask[step], decided[step]
    found = {}
    for order, flips in _turns(mask.shape):
        other = np.flip(decided.transpose(order), tuple(a for a, flip in enumerate(flips) if flip))
        own = [[_dice(mask == true, other == said) for said in classes] for true in classes]
        found[order, flips] = np.array(own)
    return found


def _fit_of_rest(maps: Maps, dataset: Dataset, cases: Iterable[str]) -> float:
    """Dice to masks of one class if maps are of the rest: of the class and of the rest the lower one."""
    found = []
    for case in cases:
        mask = dataset.masks[dataset.cases.index(case)]
        decided = decisions(read_map(maps.files[case], dataset, case))
        found.append(min(_dice(mask == 1, decided == 0), _dice(mask == 0, decided == 1)))
    return float(np.mean(found))


def _check_one(overlaps: dict[Turn, Overlaps], path: Path) -> None:
    """Refuse a map that is turned otherwise than most: of a tool that turns some images and not others."""
    fits = {turn: float(np.nanmean(np.diag(own))) for turn, own in overlaps.items()}
    as_it_is, best = next(iter(fits)), max(fits, key=lambda turn: fits[turn])
    if fits[best] > fits[as_it_is] + CLEARLY_ONE:
        raise UserError(
            f"{path}: Dice {fits[as_it_is]:.2f} to its mask, but {fits[best]:.2f} {_how(*best)}; maps must "
            "lie like their images"
        )


def _how(order: tuple[int, ...], flips: tuple[bool, ...]) -> str:
    """A way of turning in words."""
    turned = list(order) != sorted(order)
    parts = [f"with axes in the order {', '.join(map(str, order))}"] if turned else []
    if any(flips):
        parts.append(f"flipped along {', '.join(str(axis) for axis, flip in enumerate(flips) if flip)}")
    return " and ".join(parts)


def _turns(shape: tuple[int, ...]) -> list[Turn]:
    """Orders of the axes that leave the shape, each with every choice of axes to flip; as it is first."""
    axes = range(len(shape))
    orders = [o for o in itertools.permutations(axes) if tuple(shape[a] for a in o) == shape]
    return list(itertools.product(orders, itertools.product((False, True), repeat=len(shape))))


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    size = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / size if size else np.nan
