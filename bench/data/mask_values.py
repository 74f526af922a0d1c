"""From the values in 2-D masks to class indices: what each value means, and whether that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.pictures import RawMask
from bench.errors import UserError

ONE_CLASS = ({0, 1}, {0, 255})
"""Two ways to write a mask of one class."""
MOST_UNNAMED = 32
"""Classes without names; more different values are blurred edges."""
BLACK = (0, 0, 0)


def class_indices(
    paths: Sequence[Path], masks: Sequence[RawMask], labels: dict[int, str] | None
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Masks of 0, the background, and 1, 2, … the classes in the order of their values; and what to say.

    Args:
        labels: the name of each value; None: what the masks hold decides (``unnamed``).

    Raises:
        UserError: a value that is not declared, or values that can't be told to be classes.
    """
    _check_palettes(paths, masks)
    found = [_found(mask.values) for mask in masks]
    said: list[str] = []
    if labels is None:
        labels = unnamed(paths, found)
        names = [labels[value] for value in sorted(labels)[1:]]
        if len(names) > 1:
            said.append(
                f"masks hold 0 to {len(names)}, taken for {', '.join(names)}; dataset.json can name them"
            )
    known = sorted(labels)
    one = [{0, known[1]}, *(ONE_CLASS if known[1] in (1, 255) else ())] if len(known) == 2 else []
    indices = []
    for path, mask, values in zip(paths, masks, found, strict=True):
        if one and any(set(values) <= pair for pair in one):
            indices.append((mask.values > 0).astype(np.uint8))
            continue
        odd = [value for value in values if value not in labels]
        if odd:
            raise UserError(f"{path}: undeclared label {odd[0]}; {_declared(labels)}")
        indices.append(np.searchsorted(known, mask.values).astype(np.uint8))
    return indices, said


def _found(values: NDArray[np.integer]) -> list[int]:
    """The different values, sorted; of bytes by counting, which is faster."""
    counted = values.dtype == np.uint8
    different = np.flatnonzero(np.bincount(values.ravel())) if counted else np.unique(values)
    return [int(value) for value in different]


def _declared(labels: dict[int, str]) -> str:
    """What would be right."""
    known = sorted(labels)
    if len(known) == 2 and known[1] in (1, 255):
        return "a mask holds 0 and 255 (or 0 and 1)"
    return "declared are " + ", ".join(f"{value} {labels[value]}" for value in known)


def class_names(count: int) -> tuple[str, ...]:
    """Names of ``count`` classes that nobody has named."""
    return ("foreground",) if count <= 1 else tuple(f"class {k}" for k in range(1, count + 1))


def unnamed(paths: Sequence[Path], found: Sequence[list[int]]) -> dict[int, str]:
    """Names by value, from the values of all masks: one class, or consecutive numbers from 0.

    Raises:
        UserError: gaps between the values, or so many that they are no classes.
    """
    union = sorted({value for values in found for value in values})
    if any(set(union) <= pair for pair in ONE_CLASS):
        return {0: "background", 1: "foreground"}
    if union == list(range(len(union))) and len(union) <= MOST_UNNAMED:
        return dict(enumerate(("background", *class_names(len(union) - 1))))
    if union == [0, 1, 255] and not any({1, 255} <= set(own) for own in found):
        ones, others = (next(k for k, own in enumerate(found) if value in own) for value in (1, 255))
        raise UserError(
            f"{paths[ones]}: holds 1 where {paths[others].name} holds 255; if they are one class save all "
            "masks in one way, if not name both in a dataset.json beside index.csv"
        )
    most = max(range(len(paths)), key=lambda k: len(found[k]))
    shown = ", ".join(map(str, found[most][:6])) + (", …" if len(found[most]) > 6 else "")
    if len(union) > MOST_UNNAMED:
        raise UserError(
            f"{paths[most]}: holds {len(found[most])} values ({shown}), all masks {len(union)}: edges "
            "that were blurred by resizing or JPEG; cut the masks at a threshold"
        )
    named = ", ".join(f'"NAME": {value}' for value in union if value)
    raise UserError(
        f"{paths[most]}: holds the values {shown}, all masks {', '.join(map(str, union))}: neither "
        "0 and 255 nor consecutive from 0; say what they are in a dataset.json beside index.csv: "
        f'{{"labels": {{"background": 0, {named}}}}}'
    )


def _check_palettes(paths: Sequence[Path], masks: Sequence[RawMask]) -> None:
    """Refuse masks whose palettes give one index two colours, or make the background's the object's.

    Programs that shrink files number a palette's colours anew, each file in its own way.
    """
    seen: dict[int, tuple[tuple[int, ...], Path]] = {}
    for path, mask in zip(paths, masks, strict=True):
        for value, colour in mask.palette.items():
            before, other = seen.setdefault(value, (colour, path))
            if before != colour:
                raise UserError(
                    f"{path}: index {value} of its palette is the colour {colour}, in {other.name} "
                    f"{before}; masks are read by index, so save all with one palette or as grey PNG"
                )
    black = [value for value, (colour, _) in seen.items() if colour == BLACK]
    if 0 in seen and black and 0 not in black:
        colour, path = seen[0]
        raise UserError(
            f"{path}: index 0 of its palette is the colour {colour} and index {min(black)} is black; "
            "masks are read by index and 0 is the background, so save them with black first or as grey PNG"
        )
