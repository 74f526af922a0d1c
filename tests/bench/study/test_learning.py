"""What curves and scores say against a network."""

import pytest

from bench.study.learning import doubts


def record(dice, loss, score=0.8):
    rows = [
        {"epoch": k, "dice_val": d, "loss": one}
        for k, (d, one) in enumerate(zip(dice, loss, strict=True), start=1)
    ]
    return {"curves": rows, "val": {"dice": score}}


FALLING = [1.0 - 0.04 * k for k in range(20)]
RISING = [0.3 + 0.025 * k for k in range(20)]


def test_a_training_that_goes_well_is_not_doubted():
    assert doubts(record(RISING, FALLING)) == []


def test_validation_dice_that_falls_while_the_loss_falls():
    dice = [0.5, 0.7, 0.81, *[0.8 - 0.01 * k for k in range(17)]]
    assert doubts(record(dice, FALLING)) == [
        "validation Dice fell from 0.810 in epoch 3 to 0.650 at the end, while the loss fell"
    ]


@pytest.mark.parametrize(
    ("dice", "loss"),
    [
        ([*RISING[:19], 0.1], FALLING),  # one stray epoch
        ([0.8] * 10 + [0.76] * 10, FALLING),  # little
        ([0.8] * 10 + [0.5] * 10, FALLING[:10] + [1.5] * 10),  # the loss rose as well
        ([0.8, 0.1], [1.0, 0.5]),  # a trial of two epochs
        ([], []),  # given weights
    ],
)
def test_what_is_no_reason(dice, loss):
    assert doubts(record(dice, loss)) == []


def test_a_network_that_learned_nothing():
    assert doubts(record(RISING, FALLING, score=0.12)) == [
        "validation Dice 0.120 is far below any that could be used (0.3)"
    ]
    assert doubts(record([], [], score=None)) == []


def test_old_curves_without_a_loss_are_read():
    old = record([0.8] * 10 + [0.5] * 10, FALLING)
    old["curves"] = [{"epoch": row["epoch"], "dice_val": row["dice_val"]} for row in old["curves"]]
    assert doubts(old) == []
