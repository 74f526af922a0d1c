"""Masks that say nothing."""

import numpy as np

from methods.masks import blank

NONE, ALL, SOME = np.zeros((4, 4), bool), np.ones((4, 4), bool), np.eye(4, dtype=bool)


def test_the_same_empty_answer_for_all_cases():
    assert blank([NONE, NONE]) == "nothing"
    assert blank([ALL, np.ones((2, 3, 4))]) == "everything"
    assert blank([np.array([[1, 2], [3, 1]], np.uint8)]) == "everything"


def test_an_answer_in_any_case_is_one():
    assert blank([NONE, SOME]) == ""
    assert blank([ALL, SOME]) == ""
    assert blank([NONE, ALL]) == ""
    assert blank([SOME]) == ""
    assert blank(iter([])) == ""
