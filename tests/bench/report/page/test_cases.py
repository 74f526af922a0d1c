"""The page's browser of cases: pictures, outlines, patients, volumes slice by slice."""

from __future__ import annotations

import numpy as np
from page_studies import make_job, make_study, write
from PIL import Image

from bench.data import phantom
from bench.data.dataset import Dataset
from bench.report import frames
from bench.report.report import write_report
from bench.study.store import Study


def test_the_case_browser(page_file, open_page, scans):
    page = open_page(page_file)
    page.locator("#cases").scroll_into_view_if_needed()
    views = page.locator("#views figure")
    views.nth(3).locator("path.prediction").first.wait_for(state="attached")
    assert views.count() == 4
    captions = views.locator("figcaption").all_inner_texts()
    assert captions[:2] == ["Image", "Ground truth"]
    frame = frames.cases(Study(page_file.parent)).set_index(["architecture", "method", "seed", "case"]).dice
    assert captions[2].startswith("A: unet-32-64 · baseline · seed 0")
    assert f"Dice {frame['unet-32-64', 'baseline', 0, 'phantom000_z0']:.3f}" in captions[2]
    assert views.nth(0).locator("path").count() == 0
    assert views.nth(1).locator("path.truth").count() == 1

    drawn = views.nth(2).locator("path.prediction").get_attribute("d")
    page.get_by_label("Slice", exact=True).select_option(label="phantom000_z1")
    assert views.nth(2).locator("path.prediction").get_attribute("d") != drawn
    page.get_by_label("Patient", exact=True).select_option("phantom002")
    assert page.locator("#case option:checked").inner_text() == "phantom002_z0"
    page.get_by_role("button", name="Previous case").click()
    assert page.locator("#case option:checked").inner_text() == "phantom001_z2"
    expected = frame["unet-32-64", "baseline", 0, "phantom001_z2"]
    assert f"Dice {expected:.3f}" in views.nth(2).inner_text()

    page.get_by_label("Contours", exact=True).uncheck()
    assert page.locator("#views path").count() == 0
    assert page.locator("#views image").count() == 4
    page.get_by_label("Contours", exact=True).check()
    assert page.locator("#views path.prediction").count() == 2
    page.get_by_label("Job A", exact=True).select_option(label="unet-64-128-256-512 · baseline · seed 0")
    assert "Dice 1.000" in views.nth(2).inner_text()
    page.locator("#views figure:nth-child(3) path.prediction").wait_for(state="attached")
    # A perfect job's outline is the truth's.
    truth = views.nth(1).locator("path.truth").get_attribute("d")
    assert views.nth(2).locator("path.prediction").get_attribute("d") == truth
    image = page_file.parent / views.nth(0).locator("image").get_attribute("href")
    assert Image.open(image).size == (64, 64)
    rows = page.locator("#patient-cases tbody tr")
    assert rows.count() == 3
    rows.nth(0).get_by_role("button").click()
    assert page.locator("#case option:checked").inner_text() == "phantom001_z0"


def test_the_case_browser_stays_within_a_fold(folded, open_page, no_figures):
    study = folded.fill(range(2), names=("baseline", "combined")).study
    write_report(study, None)
    page = open_page(study.root / "index.html")
    assert "2 of 5 folds" in page.inner_text("#about")
    listed = page.locator("#patient option")
    assert listed.all_inner_texts() == [f"p{k}" for k in range(0, 60, 5)]
    assert page.locator("#job-a option:checked").inner_text() == "unet-32-64 · baseline · fold 0"
    page.get_by_label("Job B").select_option(label="unet-32-64 · combined · fold 1")
    assert page.locator("#job-a option:checked").inner_text() == "unet-32-64 · baseline · fold 1"
    assert listed.all_inner_texts() == [f"p{k}" for k in range(1, 60, 5)]
    numbers = page.locator("#patient-cases tbody td.number").all_inner_texts()
    assert len(numbers) == 12
    assert "–" not in numbers


def test_the_worst_patient_comes_first_when_asked(page_file, open_page):
    page = open_page(page_file)
    page.get_by_label("Patients by").select_option("worst")
    cases = frames.cases(Study(page_file.parent))
    own = cases[(cases.architecture == "unet-32-64") & (cases.method == "baseline") & (cases.seed == 0)]
    ranked = own.groupby("patient").dice.mean().sort_values().index
    assert page.locator("#patient option").all_inner_texts() == list(ranked)
    assert page.locator("#patient").input_value() == ranked[0]


def test_volumes_are_looked_at_slice_by_slice(tmp_path, open_page):
    flat = phantom.generate(patients=2, slices=4, side=32)
    stack = [slice(4 * k, 4 * k + 4) for k in range(2)]
    volumes = Dataset(
        **{
            **vars(flat),
            "cases": ("v0", "v1"),
            "patients": ("p0", "p1"),
            "images": [np.stack([i[0] for i in flat.images[s]], axis=-1)[None] for s in stack],
            "masks": [np.stack(flat.masks[s], axis=-1) for s in stack],
        }
    )
    study = make_study(tmp_path / "s", volumes, [make_job("unet-32-64", "baseline", dims=3)])
    page = open_page(write(study, volumes))
    assert " 64³ " in page.inner_text("#about")
    page.locator("#cases").scroll_into_view_if_needed()
    page.locator("#views path.prediction").first.wait_for(state="attached")
    assert page.inner_text("#case-label") == "Volume"
    slider = page.locator("#plane")
    assert slider.get_attribute("max") == "4"
    slider.fill("2")
    assert page.inner_text("#plane-number") == "2 of 4"
    assert page.locator("#views image").first.get_attribute("y") == "-32"
    first = Image.open(study.root / "page" / "cases" / "0000.png")
    assert first.size == (32, 4 * 32)
