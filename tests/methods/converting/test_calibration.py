"""Which training images a network is calibrated on."""

import pytest
import torch

from methods.converting.calibration import doubts, draw, singles

PATIENTS = ["a"] * 50 + ["b"] * 3 + ["c"] * 20


def test_every_patient_gives_one_before_any_gives_a_second():
    for samples in (3, 6, 9):
        drawn = [PATIENTS[index] for index in draw(PATIENTS, samples)]
        assert {patient: drawn.count(patient) for patient in "abc"} == dict.fromkeys("abc", samples // 3)
    drawn = [PATIENTS[index] for index in draw(PATIENTS, 33)]
    assert [drawn.count(patient) for patient in "abc"] == [15, 3, 15]


def test_the_draw_is_fixed_by_its_seed():
    assert draw(PATIENTS, 10) == draw(PATIENTS, 10)
    assert draw(PATIENTS, 10) != draw(PATIENTS, 10, seed=1)
    assert draw(PATIENTS, 10) == draw(PATIENTS, 20)[:10]
    assert draw(PATIENTS, 10) != list(range(10))


def test_all_are_taken_where_there_are_fewer():
    assert sorted(draw(PATIENTS)) == list(range(73))


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="no training image"):
        draw([])
    with pytest.raises(ValueError, match="at least 1, not 0"):
        draw(PATIENTS, 0)


def test_batches_are_taken_apart():
    images = singles([torch.ones(2, 1, 4, 4), torch.zeros(1, 1, 4, 4)])
    assert [(tuple(image.shape), float(image.mean())) for image in images] == [
        ((1, 1, 4, 4), 1.0),
        ((1, 1, 4, 4), 1.0),
        ((1, 1, 4, 4), 0.0),
    ]


def test_images_that_show_nothing_are_doubted():
    flat, seen = torch.zeros(1, 1, 4, 4), torch.arange(16.0).reshape(1, 1, 4, 4)
    assert doubts([seen, seen, flat]) == []
    assert doubts([seen]) == ["calibrated on a single image"]
    assert "show nothing" in doubts([flat, flat])[0]
    assert "2 of 3" in doubts([flat, flat, seen])[0]
