"""The page in a real Chromium, from disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from commands import missing
from page_studies import HOSTILE, fail, make_job, make_study, write

from bench.data import phantom
from bench.data.dataset import Dataset

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


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
