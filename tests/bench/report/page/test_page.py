"""What is written and what a reader sees: on small studies, odd ones and a large one."""

from __future__ import annotations

import time
from dataclasses import replace

from page_studies import HOSTILE, fail, make_job, make_study, write

import methods
from bench.data import phantom
from bench.data.dataset import Dataset
from bench.files.atomic import write_json
from bench.report.beside import remember
from bench.report.report import write_report


def test_the_report_writes_the_page(tmp_path, open_page, scans, told):
    study = make_study(tmp_path / "s", scans, [make_job("unet-32-64", "baseline")])
    write_report(study, scans)
    assert f"open {study.root / 'index.html'}" in "\n".join(told)
    page = open_page(study.root / "index.html")
    links = [link.get_attribute("href") for link in page.locator("footer a").all()]
    assert all((study.root / link).is_file() for link in links)
    assert page.locator("#cost-plot").get_attribute("aria-label").startswith("Dice (test) against")


def test_hostile_names_stay_text(tmp_path, open_page):
    source = phantom.generate(patients=2, slices=1, side=32)
    names = (f"__proto__ {HOSTILE}", "__proto__")
    scans = Dataset(
        **{**vars(source), "cases": names, "patients": (f'"><b id="bold">{HOSTILE}', "p'\u00e9 ` ${1}")}
    )
    study = make_study(tmp_path / "s", scans, [make_job("unet-32-64", "baseline")])
    fail(study, make_job("unet-32-64", "pm-kd"), HOSTILE)
    write_json(study.root / "study.json", {**study.settings(), "warnings": [HOSTILE, "harmless"]})
    page = open_page(write(study, scans))
    page.locator("#cases").scroll_into_view_if_needed()
    page.locator("#views path.prediction").first.wait_for(state="attached")
    page.get_by_role("button", name="Next case").click()
    assert page.locator("#case option:checked").inner_text() == "__proto__"
    assert page.locator("#views path.prediction").count() == 2
    assert HOSTILE in page.inner_text("#jobs")
    assert page.locator("#odd li").all_inner_texts() == [HOSTILE, "harmless"]
    assert page.locator("img, #bold").count() == 0
    assert not any(
        "<" in path.read_text() for path in study.root.rglob("*.js") if path.parent.name != "page"
    )


def test_validation_is_called_validation(tmp_path, open_page, scans):
    study = make_study(tmp_path / "s", scans, [make_job("unet-32-64", "baseline")], part="val")
    page = open_page(write(study, scans))
    text = page.inner_text("body") + page.get_attribute("#cost-plot", "aria-label")
    assert "validation scores" in text
    assert "Patient phantom000, validation scores" in text
    assert "test" not in text.lower().replace("lightseg-bench", "")


def test_a_study_without_a_finished_job(tmp_path, open_page, scans):
    study = make_study(tmp_path / "s", scans, [])
    fail(study, make_job("unet-32-64", "baseline"), "out of memory")
    page = open_page(write(study, scans))
    assert "0 finished jobs, 1 without a result" in page.inner_text("#about")
    assert "No finished job has scores of cases yet" in page.inner_text("#browser")


def test_five_hundred_jobs(tmp_path, open_page, scans, capsys):
    networks = [f"unet-{width}-{2 * width}" for width in range(4, 29)]
    jobs = [make_job(n, m, s) for n in networks for m in methods.names()[:4] for s in range(5)]
    many = [c for k in range(4) for c in (f"{name}-{k}" for name in scans.cases)]
    cases = Dataset(
        **{
            **vars(scans),
            "cases": tuple(many),
            "patients": scans.patients * 4,
            "images": scans.images * 4,
            "masks": scans.masks * 4,
        }
    )
    assert len(jobs) == 500
    index = write(make_study(tmp_path / "s", cases, jobs), None)
    start = time.perf_counter()
    page = open_page(index)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    seconds = time.perf_counter() - start
    assert page.inner_text("#count") == "500 of 500 jobs"
    assert "first 60 of 500 jobs" in page.inner_text("#curves-note")
    start = time.perf_counter()
    page.get_by_label("Search").fill("unet-9-18 combined")
    assert page.inner_text("#count") == "5 of 500 jobs"
    filtered = time.perf_counter() - start
    size = (index.parent / "page-data.js").stat().st_size
    with capsys.disabled():
        print(
            f"500 jobs: {size / 1e6:.1f} MB of data, open in {seconds:.2f} s, filtered in {filtered:.2f} s"
        )


def test_two_budgets_are_told_apart(tmp_path, open_page, scans, no_figures):
    """By a filter, in the name of a job, by another dash in the curves, and in a table of two studies."""
    job = make_job("unet-32-64", "baseline")
    study = make_study(tmp_path / "s", scans, [job, replace(job, updates=2000)])
    other = make_study(tmp_path / "other", scans, [replace(job, updates=4000)])
    remember(study, [other.root])
    write_report(study, None)
    page = open_page(study.root / "index.html")
    assert page.get_by_label("Updates asked").locator("option").all_inner_texts()[1:] == ["usual", "2000"]
    names = page.locator("#job-a option").all_inner_texts()
    assert [("usual updates" in name, "2000 updates" in name) for name in names] == [
        (True, False),
        (False, True),
    ]
    assert page.evaluate("new Set(done.map(dashOf)).size") == 2
    assert page.locator("#beside-section").is_visible()
    assert page.locator("#beside-section tbody tr").count() == 1
    page = open_page(write(other, scans))
    assert not page.locator("#beside-section").is_visible()
