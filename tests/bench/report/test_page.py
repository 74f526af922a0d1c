"""The page in a real Chromium, from disk: what a reader sees and does, on studies with known numbers."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from commands import missing
from PIL import Image

import methods
from bench.data import phantom
from bench.data.dataset import Dataset
from bench.files.atomic import write_file
from bench.job import Job
from bench.report import frames
from bench.report.comparisons import comparisons, shown_interval
from bench.report.page.page import STATIC, write_page
from bench.report.page.pictures import outline, script, slices
from bench.report.report import write_report
from bench.report.statistics import interval
from bench.scoring.evaluation import overlap_scores
from bench.study.predictions import pack_masks
from bench.study.store import Study

SIZES = {"unet-64-128-256-512": 7_696_193, "unet-32-64-128": 466_177, "unet-32-64": 100_961}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
REPOSITORY = Path(__file__).resolve().parents[3]
EXPECTED_ERRORS = ("ERR_FILE_NOT_FOUND",)


# A study made by hand: masks pushed aside by as many pixels as the job is bad.


def make_study(root: Path, dataset: Dataset, jobs: list[Job], part: str = "test") -> Study:
    """Records and predictions of ``jobs``; the k-th job's masks are the truth moved by k % 7 pixels."""
    study = Study(root)
    study.create({"dataset": dataset.name, "synthetic": dataset.synthetic}, dataset.synthetic)
    (root / "records").mkdir(exist_ok=True)
    moved = [[np.roll(mask, shift, axis=0) for mask in dataset.masks] for shift in range(7)]
    scored = [score(dataset, masks) for masks in moved]
    for k, job in enumerate(jobs):
        masks, rows = moved[k % 7], scored[k % 7]
        dice = float(np.nanmean([row["dice"] for row in rows]))
        scores = {
            "dice": dice,
            "dice_slice": dice,
            "precision": 0.5,
            "sensitivity": 0.5,
            "hd95": 3.0,
            "nsd": 0.5,
        }
        record = {
            "id": job.id, "status": "done", "job": job.as_dict(), "best_epoch": 18, "dice_val_last": dice,
            "curves": [
                {"epoch": e, "seg": 1.5 / (e + k % 5), "loss": 1 / e, "dice_val": dice * (1 - 0.5 / e)}
                for e in range(1, 21)
            ],
            "val": {**scores, "rows": rows},
            "cost": {"parameters": SIZES.get(job.architecture, 1000 * (k + 1)), "size_mb": 0.4 + k % 11,
                     "train_seconds": 60.0 + k, "peak_memory_train_mb": 500.0},
            "dataset": {"synthetic": dataset.synthetic, "train_patients": 16, "note": dataset.note,
                        "licence": dataset.licence},
            "provenance": {"commit": "abc"},
        }  # fmt: skip
        if part == "test":
            record["test"] = record["val"]
        study.path("records", job.id).write_text(json.dumps(record).replace("NaN", "null"))
        if len(jobs) < 100:
            arrays = pack_masks(masks, dataset.cases)
            write_file(
                study.path("predictions", job.id), lambda path, a=arrays: np.savez_compressed(path, **a)
            )
    return study


def score(dataset: Dataset, masks: list[np.ndarray]) -> list[dict]:
    return [
        {"case": case, "patient": patient, **overlap_scores(mask > 0, truth > 0)}
        for case, patient, mask, truth in zip(
            dataset.cases, dataset.patients, masks, dataset.masks, strict=True
        )
    ]


def make_job(architecture: str, method: str, seed: int = 0, dims: int = 2, **parameters: object) -> Job:
    own = methods.parameters(methods.build(method)) | parameters
    return Job(
        dataset="phantom", data="d", split="s", spatial_dims=dims, in_channels=1, out_channels=1,
        image_size=64, architecture=architecture, method=method, parameters=tuple(sorted(own.items())),
        seg_loss="dice-bce", seed=seed, teachers=(), threads=2, precision="fp32", compiled=True,
    )  # fmt: skip


def write(study: Study, dataset: Dataset | None) -> Path:
    frame = frames.summary(study)
    part = "val" if frames.score_column(frame)[1] == "validation" else "test"
    scored = frames.cases(study, part)
    compared = comparisons(frame[frame.status == "done"], scored)
    return write_page(study, dataset, frame, scored, frames.curves(study), compared)


def fail(study: Study, job: Job, reason: str) -> None:
    record = {"id": job.id, "status": "failed", "reason": reason, "job": job.as_dict()}
    study.path("records", job.id).write_text(json.dumps(record))


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="session")
def scans() -> Dataset:
    return phantom.generate(patients=4, slices=3, side=64)


@pytest.fixture(scope="session")
def page_file(tmp_path_factory, scans) -> Path:
    """Nine finished jobs of two seeds and one that failed, for a hostile reason; with pictures."""
    jobs = [make_job("unet-64-128-256-512", "baseline")]
    jobs += [
        make_job(network, method, seed)
        for network in ("unet-32-64-128", "unet-32-64")
        for method in ("baseline", "combined")
        for seed in (0, 1)
    ]
    study = make_study(tmp_path_factory.mktemp("page") / "phantom", scans, jobs)
    fail(study, make_job("unet-32-64", "pm-kd"), f"out of memory {HOSTILE}")
    return write(study, scans)


# The browser.


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        missing("playwright is not installed" if CHROMIUM else "there is no chromium on the PATH")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, *FLAGS])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open a page from disk; at the end there must have been no error and no request but for files."""
    contexts, errors, requests = [], [], []

    def call(path: Path, width: int = 1280, expected: tuple[str, ...] = (), **options):
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda m: m.type in ("error", "warning")
                and not any(text in m.text for text in expected) and errors.append(m.text))  # fmt: skip
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert errors == []
    assert requests
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}


def column(page, name: str) -> list[str]:
    heads = [text.strip(" ↑↓") for text in page.locator("#jobs thead th").all_inner_texts()]
    cells = page.locator(f"#jobs tbody tr > :nth-child({heads.index(name) + 1})")
    return cells.all_inner_texts()


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
    compared = comparisons(frame, scored, named)
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


def points(difference: float, low: float, high: float) -> str:
    texts = [f"{100 * value:+.1f}".replace("-", "−") for value in (difference, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def test_means_over_seeds_name_their_records(page_file, open_page):
    page = open_page(page_file)
    page.get_by_label("Mean over seeds").check()
    assert page.inner_text("#count") == "5 cells of 9 jobs"
    frame = frames.summary(Study(page_file.parent))
    own = frame[(frame.architecture == "unet-32-64") & (frame.method == "combined")].dice
    row = page.locator("#jobs tbody tr").filter(has_text="combined").last
    assert f"{own.mean():.3f} ± {own.std():.3f}" in row.inner_text()
    assert row.locator("td.id a").all_inner_texts() == ["0", "1"]


def test_the_cost_plot_by_mouse_and_by_keyboard(page_file, open_page):
    page = open_page(page_file)
    assert page.get_by_label("Cost", exact=True).locator("option").count() == 3
    page.get_by_label("Cost", exact=True).select_option("parameters")
    canvas = page.locator("#cost-plot")
    canvas.scroll_into_view_if_needed()
    spot = page.evaluate(
        "() => { const p = charts['cost-plot'].getDatasetMeta(0).data.at(-1); return {x: p.x, y: p.y} }"
    )
    canvas.hover(position=spot)
    page.wait_for_function("charts['cost-plot'].tooltip.opacity > 0")
    title, body = page.evaluate(
        "() => { const t = charts['cost-plot'].tooltip; return [t.title[0], t.body[0].lines] }"
    )
    assert title == "unet-64-128-256-512 · baseline · seed 0"
    assert body[0] == "Dice 1.000"
    assert any(line.startswith("record ") for line in body)
    canvas.click(position=spot)
    page.locator("#picked", has_text="unet-64-128-256-512").wait_for()
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.locator("#picked", has_text="unet-32-64-128 ·").wait_for()
    link = page.locator("#picked a").get_attribute("href")
    assert (page_file.parent / link).is_file()
    page.get_by_role("button", name="Show its cases as job B").click()
    assert "unet-32-64-128" in page.locator("#job-b option:checked").inner_text()


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


def test_the_worst_patient_comes_first_when_asked(page_file, open_page):
    page = open_page(page_file)
    page.get_by_label("Patients by").select_option("worst")
    cases = frames.cases(Study(page_file.parent))
    own = cases[(cases.architecture == "unet-32-64") & (cases.method == "baseline") & (cases.seed == 0)]
    ranked = own.groupby("patient").dice.mean().sort_values().index
    assert page.locator("#patient option").all_inner_texts() == list(ranked)
    assert page.locator("#patient").input_value() == ranked[0]


def test_by_keyboard_alone(page_file, open_page):
    page = open_page(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "matrix"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.sort || ''"))
    wanted = {"dice", "cost-of", "cost-plot", "patient", "case", "job-a", "job-b", "contours", "next"}
    assert wanted <= reached
    sort = page.locator("#jobs button[data-sort=dice]")
    sort.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.sort") == "dice", "focus stays where it was"
    outline_style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline_style) == "solid"


def test_headings_labels_and_names(page_file, open_page):
    page = open_page(page_file)
    assert page.locator("h1").count() == 1
    names = ["Matrix", "Dice against cost", "Learning curves", "Cases"]
    assert page.locator("h2").all_inner_texts() == names
    unnamed = page.evaluate(
        "[...document.querySelectorAll('select, input, canvas, button')].filter("
        "e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert unnamed == 0
    assert page.locator("#jobs thead th").count() == page.locator("#jobs thead th[scope=col]").count()


def test_dark_light_and_the_phone(page_file, open_page):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = open_page(page_file), open_page(page_file, color_scheme="dark")
    assert paper(light) != paper(dark)
    night = paper(dark)
    dark.get_by_role("button", name="Light").click()
    assert paper(dark) == paper(light)
    dark.reload()
    assert paper(dark) == paper(light), "the choice is kept"
    light.get_by_role("button", name="Dark").click()
    assert paper(light) == night

    phone = open_page(page_file, width=390, has_touch=True, is_mobile=True)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
    first = phone.locator("#jobs tbody th").first
    phone.locator(".scroll").first.evaluate("node => node.scrollLeft = 300")
    assert first.bounding_box()["x"] >= 0, "the network's name stays in sight"


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
    page = open_page(write(study, scans))
    page.locator("#cases").scroll_into_view_if_needed()
    page.locator("#views path.prediction").first.wait_for(state="attached")
    page.get_by_role("button", name="Next case").click()
    assert page.locator("#case option:checked").inner_text() == "__proto__"
    assert page.locator("#views path.prediction").count() == 2
    assert HOSTILE in page.inner_text("#jobs")
    assert page.locator("img, #bold").count() == 0
    assert not any(
        "<" in path.read_text() for path in study.root.rglob("*.js") if path.parent.name != "page"
    )


def test_real_cases_stay_numbers_in_git(tmp_path, open_page, scans):
    real = Dataset(**{**vars(scans), "synthetic": False, "note": "real", "name": "liver-ct"})
    jobs = [make_job("unet-32-64", "baseline"), make_job("unet-32-64", "combined")]
    study = make_study(tmp_path / "study", real, jobs, part="val")
    index = write(study, real)
    git = ["git", "-C", str(study.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    kept = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert {"index.html", "page-data.js"} <= set(kept)
    assert not [name for name in kept if name.endswith(".png") or name.startswith("page/")]
    with_pictures = open_page(index)
    with_pictures.locator("#cases").scroll_into_view_if_needed()
    with_pictures.locator("#views path.prediction").first.wait_for(state="attached")

    clone = tmp_path / "clone" / "results" / "study"
    for name in kept:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(study.root / name, clone / name)
    shutil.copytree(STATIC, tmp_path / "clone" / "bench" / "report" / "page" / "static")
    fresh = open_page(clone / "index.html", expected=EXPECTED_ERRORS)
    fresh.locator("#cases").scroll_into_view_if_needed()
    fresh.locator("#no-pictures").wait_for()
    assert "report STUDY --data FOLDER" in fresh.inner_text("#no-pictures")
    assert fresh.locator("#views *, #contours:visible").count() == 0
    own = frames.cases(study, "val").query("method == 'combined'").set_index("case").dice
    first = fresh.locator("#patient-cases tbody tr").first
    assert f"{own['phantom000_z0']:.3f}" in first.inner_text()
    # Reports without images say so in the page's data, and nothing is asked for.
    quiet = open_page(write(Study(clone), None))
    assert quiet.locator("#no-pictures").is_visible()


def test_what_draws_the_page_is_in_git_once(tmp_path, open_page, scans):
    study = make_study(tmp_path / "a" / "study", scans, [make_job("unet-32-64", "baseline")])
    index = write(study, scans)
    git = ["git", "-C", str(study.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    kept = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert {name.split("/")[1] for name in kept if name.startswith("page/")} == {"cases"}
    for path in (study.root / "page").iterdir():
        if path.is_file():
            path.unlink()
    alone = open_page(index, expected=EXPECTED_ERRORS)
    assert alone.locator("#no-scripts").is_visible()
    write(study, None)
    assert not open_page(index).locator("#no-scripts").is_visible()


@pytest.mark.parametrize("name", ["phantom", "liver-ct", "hippocampus"])
def test_a_committed_page_opens_in_a_fresh_clone(name, tmp_path, open_page):
    clone = tmp_path / "clone"
    kept = subprocess.run(
        ["git", "-C", REPOSITORY, "ls-files", f"results/v1/{name}", "bench/report/page/static"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not [path for path in kept if path.startswith("results/") and path.endswith("common.js")]
    for path in kept:
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / path, clone / path)
    page = open_page(clone / "results" / "v1" / name / "index.html", expected=EXPECTED_ERRORS)
    assert page.locator("#jobs tbody tr").count() > 5
    link = page.locator("footer a", has_text="Chart.js").get_attribute("href")
    assert (clone / "results" / "v1" / name / link).is_file()
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") != "block", "its style"


def test_validation_is_called_validation(tmp_path, open_page, scans):
    study = make_study(tmp_path / "s", scans, [make_job("unet-32-64", "baseline")], part="val")
    page = open_page(write(study, scans))
    text = page.inner_text("body") + page.get_attribute("#cost-plot", "aria-label")
    assert "validation scores" in text
    assert "Patient phantom000, validation scores" in text
    assert "test" not in text.lower().replace("lightseg-bench", "")


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


def test_other_parameters_are_named(tmp_path, open_page, scans):
    jobs = [make_job("unet-32-64", "pm-kd"), make_job("unet-32-64", "pm-kd", temperature=2.0)]
    page = open_page(write(make_study(tmp_path / "s", scans, jobs), None))
    assert sorted(column(page, "Method")) == ["pm-kd", "pm-kd[temperature=2.0]"]


def test_a_study_without_a_finished_job(tmp_path, open_page, scans):
    study = make_study(tmp_path / "s", scans, [])
    fail(study, make_job("unet-32-64", "baseline"), "out of memory")
    page = open_page(write(study, scans))
    assert "0 finished jobs, 1 without a result" in page.inner_text("#about")
    assert "No finished job has scores of cases yet" in page.inner_text("#browser")


def test_five_hundred_jobs(tmp_path, open_page, scans, capsys):
    networks = [f"unet-{width}-{2 * width}" for width in range(4, 29)]
    jobs = [make_job(n, m, s) for n in networks for m in methods.names() for s in range(5)]
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


# What the pictures are made of.


def area(path: str) -> float:
    """The shoelace area inside an SVG path of relative lines, in pixels; holes count negative."""
    total = 0.0
    for part in path.split("M")[1:]:
        start, moves = part.rstrip("z").split("l")
        steps = np.array(moves.split(), float).reshape(-1, 2)
        x, y = np.cumsum(np.vstack([np.array(start.split(), float), steps]), axis=0).T / 2
        total += 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return abs(total)


def test_an_outline_surrounds_its_pixels():
    assert outline(np.zeros((4, 4), bool)) == ""
    one = np.zeros((4, 5), bool)
    one[1, 2] = True
    assert area(outline(one)) == 0.5, "a pixel, its corners cut"
    block = np.zeros((30, 40), bool)
    block[5:20, 7:30] = True
    assert math.isclose(area(outline(block)), 15 * 23 - 4 / 8)
    assert outline(block).count(" ") < 20, "straight sides are one step"
    block[10:15, 10:15] = False
    assert math.isclose(area(outline(block)), 15 * 23 - 4 / 8 - (25 - 4 / 8))
    assert math.isclose(area(outline(np.ones((3, 3), bool))), 9 - 4 / 8), "closed at the image's edge"


def test_slices_of_a_volume_stand_upright():
    volume = np.arange(24).reshape(2, 3, 4)
    planes = slices(volume)
    assert len(planes) == 4
    assert planes[0].shape == (3, 2)
    assert planes[1][0, 0] == volume[0, 2, 1]


def test_scripts_hold_no_markup_and_no_nan():
    text = script({"a": "</script>&", "b": "\u2028"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>&", "b": "\u2028"}
    with pytest.raises(ValueError, match="not JSON"):
        script(math.nan)
