"""The table of jobs on the page: sorted, filtered, with differences and their intervals."""

from __future__ import annotations

import json

from page_studies import make_job, make_study, write

from bench.report import frames
from bench.report.comparisons import comparisons, shown_interval
from bench.report.report import write_report
from bench.report.statistics import interval
from bench.study.store import Study


def column(page, name: str) -> list[str]:
    heads = [text.strip(" ↑↓") for text in page.locator("#jobs thead th").all_inner_texts()]
    cells = page.locator(f"#jobs tbody tr > :nth-child({heads.index(name) + 1})")
    return cells.all_inner_texts()


def points(difference: float, low: float, high: float) -> str:
    texts = [f"{100 * value:+.1f}".replace("-", "−") for value in (difference, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def test_the_matrix_sorts_and_filters(page_file, open_page):
    page = open_page(page_file)
    assert page.title() == "phantom (synthetic) – lightseg-bench"
    assert "synthetic data · test scores · 64² · 9 finished jobs, 1 without a result" in page.inner_text(
        "#about"
    )
    assert len(column(page, "Network")) == 10
    head = page.locator("#jobs th", has=page.get_by_role("button", name="Dice (test)"))
    page.get_by_role("button", name="Dice (test)").click()
    dice = column(page, "Dice (test)")
    assert dice[-1].startswith("failed: out of memory"), "what has no number stays last"
    assert dice[:-1] == sorted(dice[:-1], reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Dice (test)").click()
    assert column(page, "Dice (test)")[:-1] == sorted(dice[:-1])
    assert head.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Parameters").click()
    parameters = column(page, "Parameters")
    assert parameters[0] == "100,961", "of a cost the least comes first"
    assert "7,696,193" in parameters, "whole numbers keep every digit"

    page.get_by_label("Method", exact=True).select_option("combined")
    assert page.inner_text("#count") == "4 of 10 jobs"
    assert set(column(page, "Method")) == {"combined"}
    page.get_by_label("Search").fill("32-64-128")
    assert page.inner_text("#count") == "2 of 10 jobs"
    assert "2 points" in page.get_attribute("#cost-plot", "aria-label"), "the plots follow the filter"
    assert "2 jobs" in page.inner_text("#curves-note")
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('#count').textContent === '10 of 10 jobs'")
    page.get_by_label("Search").fill("no such job")
    assert page.inner_text("#count") == "0 of 10 jobs"


def test_every_number_leads_to_its_record(page_file, open_page):
    page = open_page(page_file)
    frame = frames.summary(Study(page_file.parent)).set_index("id")
    numbers = page.locator("#jobs tbody td.number:not(.none)")
    assert numbers.count() == page.locator("#jobs tbody td.number a").count() > 60
    for row in page.locator("#jobs tbody tr").all():
        links = {link.get_attribute("href") for link in row.locator("a").all()}
        assert len(links) == 1
        record = page_file.parent / links.pop()
        job_id = json.loads(record.read_text())["id"]
        if frame.status[job_id] == "done":
            assert row.locator("td.dice").inner_text() == f"{frame.dice[job_id]:.3f}"
    gain = page.locator("#jobs tbody tr", has_text="combined").first.locator("td.gain").inner_text()
    scored = frames.cases(Study(page_file.parent))
    own = scored[(scored.architecture == "unet-32-64-128") & (scored.seed == 0)]
    pair = own.groupby(["method", "patient"]).dice.mean().groupby("method").mean()
    assert gain.replace("−", "-") == f"{100 * (pair.combined - pair.baseline):+.1f}", (
        "four patients: no interval"
    )


def test_differences_come_with_their_intervals(simulated, open_page):
    study = simulated.fill(seeds=3, students=1)
    page = open_page(write(study, None))
    frame, scored = frames.summary(study), frames.cases(study, "val")
    patients = scored.groupby(["id", "patient"]).dice.mean().unstack("patient")
    teacher = frame[frame.seed.eq(1) & frame.architecture.str.startswith("unet-64")].id
    for method in ("baseline", "at-kd", "combined"):
        own, plain = (
            frame[frame.architecture.eq("unet-32-64") & frame.seed.eq(1) & frame.method.eq(name)].id.item()
            for name in (method, "baseline")
        )
        cells = page.locator("#jobs tbody tr", has=page.locator(f'a[href="records/{own}.json"]'))
        for column_class, reference in (("gain", plain), ("gap", teacher.item())):
            cell = cells.locator(f"td.{column_class}")
            if reference == own:
                assert cell.count() == 0
                continue
            values = (patients.loc[own] - patients.loc[reference]).to_numpy()
            assert cell.inner_text() == points(values.mean(), *interval(values))
            assert "unclear" in cell.get_attribute("class"), "one split claims nothing"
    check_means(page, comparisons(frame, scored), "seeds")
    page.get_by_label("Seed", exact=True).select_option("1")
    gain = page.locator("#jobs tbody tr", has_text="combined").locator("td.gain").inner_text()
    assert "[" in gain, "a mean over one seed is that run"


def check_means(page, compared, repeats):
    """The means over folds or seeds are those of ``compared``, verdicts and shares of the gap with them."""
    page.get_by_label(f"Mean over {repeats}").check()
    for against, column_class in (("baseline", "gain"), ("teacher", "gap")):
        for row in compared[compared.against == against].itertuples():
            line = page.locator("#jobs tbody tr", has_text=row.method).last
            cell = line.locator(f"td.{column_class}")
            bad = row.verdict in ("harm", "worse")
            text = points(row.difference, *shown_interval(row))
            assert cell.inner_text() == text + (" ↓" if bad else "")
            assert cell.get_attribute("title") == row.verdict
            claim = row.verdict in ("gain", "harm", "as good", "worse")
            assert ("unclear" in cell.get_attribute("class")) != claim
            if against == "baseline":
                share = (
                    row.gap_closed if isinstance(row.gap_closed, str) else f"{100 * row.gap_closed:.0f} %"
                )
                assert line.locator("td.closed").inner_text() == share


def test_folds_have_their_names_means_and_claims(folded, open_page, no_figures):
    named = [f"unet-32-64:{method}" for method in ("pm-kd", "at-kd", "combined")]
    study = folded.name(*named).fill().study
    frame, scored = frames.summary(study), frames.cases(study)
    compared = comparisons(frame, scored, dict.fromkeys(named, ()))
    assert set(compared.verdict) >= {"gain", "harm", "not significant", "worse"}
    write_report(study, None)
    page = open_page(study.root / "index.html")
    about = page.inner_text("#about")
    assert "5 folds · 500 updates a job · 240 cases of 60 patients" in about
    assert "could have been claimed" in page.inner_text("#gain-note")
    assert "Seed" not in page.locator("#jobs thead").inner_text(), "one seed a fold says nothing"
    assert sorted(set(column(page, "Fold"))) == list("01234")
    check_means(page, compared, "folds")
    assert page.locator("#jobs tbody tr").last.locator("td.id a").all_inner_texts() == list("01234")
    own = frame[(frame.architecture == "unet-32-64") & (frame.method == "combined")].dice
    row = page.locator("#jobs tbody tr").filter(has_text="combined").last
    assert f"{own.mean():.3f} ± {own.std():.3f}" in row.inner_text()


def test_means_over_seeds_name_their_records(page_file, open_page):
    page = open_page(page_file)
    page.get_by_label("Mean over seeds").check()
    assert page.inner_text("#count") == "5 cells of 9 jobs"
    frame = frames.summary(Study(page_file.parent))
    own = frame[(frame.architecture == "unet-32-64") & (frame.method == "combined")].dice
    row = page.locator("#jobs tbody tr").filter(has_text="combined").last
    assert f"{own.mean():.3f} ± {own.std():.3f}" in row.inner_text()
    assert row.locator("td.id a").all_inner_texts() == ["0", "1"]


def test_other_parameters_are_named(tmp_path, open_page, scans):
    jobs = [make_job("unet-32-64", "pm-kd"), make_job("unet-32-64", "pm-kd", temperature=2.0)]
    page = open_page(write(make_study(tmp_path / "s", scans, jobs), None))
    assert sorted(column(page, "Method")) == ["pm-kd", "pm-kd[temperature=2.0]"]
