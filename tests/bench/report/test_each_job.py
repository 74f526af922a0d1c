"""What is said of one job is what ``comparisons`` says of its seed alone."""

import numpy as np
import pandas as pd
import pytest
from samples import change_record

from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.each_job import COLUMNS, of_each_job

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"


def both(study, part):
    """Of each job at once, and of one seed after another."""
    done = frames.summary(study)
    done = done[done.status == "done"]
    cases = frames.cases(study, part)
    alone = [
        comparisons(own, cases[cases.id.isin(own.id)]).assign(seed=seed)
        for seed, own in done.groupby("seed")
    ]
    order = ["architecture", "method", "updates_asked", "seed", "against"]
    found = [of_each_job(done, cases), pd.concat(alone)[list(COLUMNS)]]
    found = [frame.assign(gap_closed=frame.gap_closed.fillna("unknown")) for frame in found]
    return [frame.sort_values(order, ignore_index=True) for frame in found]


def leave_out(record):
    """Two cases have no Dice, and a patient is missing."""
    for part in ("val", "test"):
        if rows := record.get(part, {}).get("rows"):
            rows[0]["dice"] = rows[3]["dice"] = None
            record[part]["rows"] = [row for row in rows if row["patient"] != rows[-1]["patient"]]


@pytest.mark.parametrize("seeds", [1, 2])
def test_folds(folded, seeds):
    study = folded.name(f"{SMALL}:pm-kd").fill(seeds=seeds).study
    folded.add(SMALL, "pm-kd", 0, seed=7)
    folded.add(SMALL, "at-kd", 1, made=40, updates=40)
    folded.add(SMALL, "baseline", 1, made=40, updates=40)
    change_record(study, folded.add(SMALL, "combined", 2), leave_out)
    change_record(study, folded.add(TEACHER, "baseline", 3, effect=0.0), leave_out)
    study.path("records", folded.add(TEACHER, "baseline", 4, effect=0.0)).unlink()
    at_once, alone = both(study, "test")
    pd.testing.assert_frame_equal(at_once, alone, check_dtype=False)
    assert set(at_once.against) == {"baseline", "teacher"}
    assert at_once.verdict.str.contains("fewer than 100 updates").any()
    assert at_once.verdict.eq("none (1 fold)").any()
    assert at_once.gap_closed.map(np.isreal).any()
    assert at_once.gap_closed.eq("unknown").any()


def test_seeds(simulated):
    simulated.fill(seeds=3, students=2)
    change_record(simulated.study, simulated.add(SMALL, "pm-kd", 1).id, leave_out)
    at_once, alone = both(simulated.study, "val")
    pd.testing.assert_frame_equal(at_once, alone, check_dtype=False)
    assert at_once.verdict.eq("none (no folds)").any()


def test_nothing_is_nothing(simulated):
    simulated.fill(seeds=1, students=0)
    at_once, _ = both(simulated.study, "val")
    assert list(at_once.columns) == list(COLUMNS)
    assert not len(at_once)
