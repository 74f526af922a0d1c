"""What of the page is in git, and what a fresh clone shows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from page_studies import make_job, make_study, write

from bench.data.dataset import Dataset
from bench.files.atomic import write_text
from bench.report import frames
from bench.report.page.page import STATIC
from bench.study.store import Study

REPOSITORY = Path(__file__).resolve().parents[4]
EXPECTED_ERRORS = ("ERR_FILE_NOT_FOUND",)


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


def test_what_everybody_may_see_can_be_committed(tmp_path, scans):
    """Pictures of data in the public domain; what networks predicted of them is too large for git."""
    real = Dataset(**{**vars(scans), "synthetic": False, "licence": "Public domain, somewhere"})
    study = make_study(tmp_path / "study", real, [make_job("unet-32-64", "baseline")])
    (study.root / ".gitignore").unlink()
    study.keep_from_git(real.synthetic, real.may_be_shown)
    write(study, real)
    write_text(study.root / "figures" / "cases.png", "")
    git = ["git", "-C", str(study.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    kept = subprocess.run([*git, "ls-files"], check=True, capture_output=True, text=True).stdout.split()
    assert "page/cases/0000.png" in kept
    assert "figures/cases.png" in kept
    assert not any(name.startswith("predictions/") for name in kept)


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
