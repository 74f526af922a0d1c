"""What a teacher is worth on the page: Dice against labels, and the share of the gap."""

import pandas as pd
import pytest
from page_studies import write

from bench.report import frames
from bench.report.comparisons import comparisons

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"


@pytest.fixture
def labels(simulated):
    """Two seeds of a student of 4, 8 and all labels, taught in several ways."""
    for seed in range(2):
        teachers = [simulated.add(TEACHER, "baseline", other, effect=0.0) for other in range(2)]
        for count, harm in ((4, -0.2), (8, -0.1), (None, 0.0)):
            plain = simulated.add(SMALL, "baseline", seed, labels=count, effect=harm)
            if count is None:
                continue
            own = simulated.add(TEACHER, "baseline", seed, labels=count, effect=harm / 2)
            more = {"labels": count, "unlabelled": "maps"}
            simulated.add(SMALL, "pm-kd", seed, effect=harm / 2, teachers=(own.id,), **more)
            known = {"teacher_labels": "all", **more}
            simulated.add(SMALL, "pm-kd", seed, effect=harm / 4, **known)
            several = tuple(job.id for job in teachers)
            simulated.add(SMALL, "pm-kd", seed, effect=harm / 5, teachers=several, **known)
            simulated.add(SMALL, "pm-kd", seed, effect=harm, teachers=(plain.id,), **more)
    return simulated


def test_a_line_for_each_way_of_using_the_teacher(labels, open_page):
    page = open_page(write(labels.study, None))
    assert page.locator("#labels").is_visible()
    names = page.locator("#labels-legend li").all_inner_texts()
    assert names == [
        "baseline",
        f"pm-kd, of 2 × {TEACHER}, teacher saw all labels",
        "pm-kd, of its plain twin, teacher of the same labels",
        f"pm-kd, of {TEACHER}, teacher of the same labels",
        f"pm-kd, of {TEACHER}, teacher saw all labels",
    ]
    frame = frames.summary(labels.study)
    plain = frame[(frame.architecture == SMALL) & (frame.method == "baseline")].groupby("labels").dice_val
    sets = page.evaluate("charts['labels-plot'].data.datasets.map(({ data }) => data)")
    assert len(sets) == 3 * len(names), "a mean and both ends of a band each"
    for data, found in zip(sets[:3], (plain.mean(), plain.min(), plain.max()), strict=True):
        assert [point["x"] for point in data] == [0, 1, 2]
        assert [point["y"] for point in data] == pytest.approx([*found[["4", "8", "all"]]], abs=1e-5)
    page.get_by_label("Labels", exact=True).select_option("8")
    assert page.evaluate("charts['labels-plot'].data.datasets[0].data.length") == 1


def test_shares_are_those_of_the_comparisons(labels, open_page):
    page = open_page(write(labels.study, None))
    frame = frames.summary(labels.study)
    compared = comparisons(frame, frames.cases(labels.study, "val"))
    own = compared[(compared.against == "baseline")].gap_closed
    numbers = pd.to_numeric(own, errors="coerce").dropna()
    expected = sorted(100 * numbers, reverse=True)
    assert expected
    assert page.evaluate("charts['shares-plot'].data.datasets[0].data") == pytest.approx(expected, abs=0.01)
    words = (own == "no gap").sum()
    assert f"{words} more have no gap" in page.locator("#shares-note").inner_text()


def test_where_there_is_nothing_to_draw_there_is_no_heading(simulated, open_page):
    simulated.fill(seeds=1, students=0)
    page = open_page(write(simulated.study, None))
    assert not page.locator("#labels").is_visible()
    assert not page.locator("#shares").is_visible()
