"""Cases without an object: what was found in them goes from the records to the tables."""

import pandas as pd
import pytest

from bench.report import frames
from bench.report.tables.false_alarms import false_alarms_table


def with_empty_cases(study):
    """Of each patient the first case is empty; the area found there is told by patient and network."""
    for record in study.records():
        small = record["job"]["architecture"] == "unet-32-64"
        for row in record["val"]["rows"]:
            patient = int(row["patient"][1:])
            if row["case"].endswith("_0"):
                area = 10.0 * patient if small and patient % 2 else 0.0
                row |= {"organ_size": 0, "dice": 0.0}
                row |= {"false_positive_area": area, "false_positive_share": area / 1000}
        record["val"] |= {"false_positive_area": 1.25, "false_positive_share": 0.5}
        study.write_record(record)


def tabled(study):
    summary = frames.summary(study)
    return false_alarms_table(summary[summary.status == "done"], frames.cases(study, "val"))


def test_the_table_by_hand(simulated):
    simulated.patients = 4
    study = simulated.fill(seeds=2, students=2, names=("baseline",))
    with_empty_cases(study)
    table = tabled(study).frame.set_index("architecture")
    own = table.loc["unet-32-64"]
    assert own["empty cases"] == 4
    assert own["with a false alarm"] == "50 %"
    assert own["area"] == "10.0", "of 0, 10, 0 and 30"
    assert own["largest"] == "30.0"
    assert own["share of the image"] == "1.000 %"
    assert table.loc["unet-32-64-128", "with a false alarm"] == "0 %"


def test_the_columns_are_in_both_csv_files(simulated):
    simulated.patients = 2
    study = simulated.fill(seeds=1, students=1, names=("baseline",))
    with_empty_cases(study)
    written = frames.written(frames.summary(study))
    assert list(written.false_positive_area_val) == [1.25] * len(written)
    cases = frames.cases(study, "val")
    assert cases.false_positive_share.notna().sum() == 2 * len(written)
    assert pd.api.types.is_numeric_dtype(cases.false_positive_area)


def test_a_study_without_empty_cases_has_neither(simulated):
    study = simulated.fill(seeds=1, students=1, names=("baseline",))
    assert not len(tabled(study).frame)
    for frame in (frames.written(frames.summary(study)), frames.cases(study, "val")):
        assert not [name for name in frame if "false" in name]


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_that_was_not_scored_has_none(simulated, part):
    study = simulated.fill(seeds=1, students=1, names=("baseline",))
    summary = frames.summary(study)
    assert not len(false_alarms_table(summary, frames.cases(study, part)).frame)
