"""What the values in masks mean."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.mask_values import class_indices
from bench.data.pictures import RawMask
from bench.errors import UserError


def masks_of(*rows, palettes=None):
    palettes = palettes or [{}] * len(rows)
    paths = [Path(f"masks/m{k}.png") for k in range(len(rows))]
    return paths, [RawMask(np.array([row]), False, p) for row, p in zip(rows, palettes, strict=True)]


def read(*rows, labels=None, palettes=None):
    indices, _ = class_indices(*masks_of(*rows, palettes=palettes), labels)
    return [mask.ravel().tolist() for mask in indices]


def refusal(*rows, **more):
    with pytest.raises(UserError) as error:
        read(*rows, **more)
    return str(error.value)


def test_zero_and_255_and_zero_and_one_are_one_class():
    assert read([0, 255], [0, 0]) == [[0, 1], [0, 0]]
    assert read([0, 1], [1, 1]) == [[0, 1], [1, 1]]
    one = {0: "background", 1: "liver"}
    assert read([0, 255], [0, 1], labels=one) == [[0, 1], [0, 1]]
    assert class_indices(*masks_of([0, 255]), None)[1] == []


def test_consecutive_values_are_classes_and_that_is_said():
    assert read([0, 1], [2, 3]) == [[0, 1], [2, 3]]
    assert class_indices(*masks_of([0, 1], [2, 3]), None)[1] == [
        "masks hold 0 to 3, taken for class 1, class 2, class 3; dataset.json can name them"
    ]


def test_declared_values_become_indices_in_their_order():
    labels = {0: "background", 200: "b", 7: "a"}
    assert read([0, 7, 200], [200, 200, 0], labels=labels) == [[0, 1, 2], [2, 2, 0]]


@given(
    st.sets(st.integers(1, 65535), min_size=1, max_size=9),
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_any_declared_values_are_told_apart(values, rows):
    known = [0, *sorted(values)]
    rows = [[index % len(known) for index in row] for row in rows]
    labels = {value: f"c{value}" for value in known}
    assert read(*([known[index] for index in row] for row in rows), labels=labels) == rows


@given(st.sets(st.integers(0, 255), min_size=2, max_size=12))
def test_values_with_gaps_are_never_guessed(values):
    if sorted(values) == list(range(len(values))) or values == {0, 255}:
        return
    assert "dataset.json" in refusal(sorted(values))


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        (
            ([0, 128], [0, 255, 128]),
            {},
            "masks/m1.png: holds the values 0, 128, 255, all masks 0, 128, 255",
        ),
        (([0, 128],), {}, '{"labels": {"background": 0, "NAME": 128}}'),
        (
            ([0, 255], [0, 1]),
            {},
            "masks/m1.png: holds 1 where m0.png holds 255; if they are one",
        ),
        (([0, 255, 1],), {}, "all masks 0, 1, 255: neither 0 and 255 nor consecutive"),
        (([1, 2],), {}, "nor consecutive from 0"),
        ((range(256),), {}, "edges that were blurred by resizing or JPEG; cut the masks at a threshold"),
        (
            ([0, 7],),
            {"labels": {0: "background", 1: "x"}},
            "m0.png: undeclared label 7; a mask holds 0 and 255",
        ),
        (([0, 1, 255],), {"labels": {0: "background", 1: "x"}}, "undeclared label 255"),
        (
            ([0, 255],),
            {"labels": {0: "background", 2: "x"}},
            "undeclared label 255; declared are 0 background, 2 x",
        ),
        (
            ([0, 1, 9],),
            {"labels": {0: "background", 1: "x", 2: "y"}},
            "undeclared label 9; declared are 0 background, 1 x, 2 y",
        ),
        (([0, -1],), {"labels": {0: "background", 1: "x", 2: "y"}}, "undeclared label -1"),
        (
            ([0, 1], [0, 1]),
            {"palettes": [{0: (0, 0, 0), 1: (9, 0, 0)}, {0: (0, 0, 0), 1: (0, 9, 0)}]},
            "m1.png: index 1 of its palette is the colour (0, 9, 0), in m0.png (9, 0, 0)",
        ),
        (
            ([0, 1],),
            {"palettes": [{0: (255, 255, 255), 1: (0, 0, 0)}]},
            "index 0 of its palette is the colour (255, 255, 255) and index 1 is black",
        ),
    ],
)
def test_what_can_not_be_known_is_refused_with_the_remedy(rows, more, message):
    assert message in refusal(*rows, **more)
