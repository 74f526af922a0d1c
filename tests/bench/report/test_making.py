"""What making a network took is a sum of its own parts and of its teacher's, each counted once."""

import pandas as pd

from bench.report.making import Making, making


def job(name, train, recording=0.0, converting=0.0, teachers="", source=""):
    together = train + recording + converting
    return {
        "id": name,
        "teachers": teachers,
        "source": source,
        "train_seconds": train,
        "recording_seconds": recording,
        "made_seconds": together,
    }


def test_recording_counts_for_every_student_whoever_recorded():
    found = making(
        pd.DataFrame(
            [
                job("teacher", 1000),
                job("plain", 100),
                job("first", 110, recording=400.0, teachers="teacher"),
                job("second", 120, recording=1.0, teachers="teacher"),
            ]
        )
    )
    assert found["plain"] == Making(100, 0, 0)
    assert found["first"] == Making(110, 0, 1400)
    assert found["second"] == Making(120, 0, 1400)


def test_a_recipe_is_the_sum_of_its_steps_and_of_one_teacher():
    found = making(
        pd.DataFrame(
            [
                job("teacher", 1000),
                job("taught", 100, recording=400.0, teachers="teacher"),
                job("pruned", 90, recording=2.0, converting=3.0, teachers="teacher", source="taught"),
                job("int8", 0, converting=5.0, source="pruned"),
            ]
        )
    )
    assert found["int8"] == Making(190, 8, 1400)
    assert found["int8"].total == 1598


def test_an_assistant_brings_what_its_own_teacher_took():
    found = making(
        pd.DataFrame(
            [
                job("large", 1000),
                job("assistant", 300, recording=50.0, teachers="large"),
                job("student", 100, recording=20.0, teachers="assistant"),
            ]
        )
    )
    assert found["student"] == Making(100, 0, 1000 + 300 + 50 + 20)
