"""What the page tells apart: classes, networks, losses, slices and volumes; and what only one job has."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
from page_studies import make_job, make_study, write

from bench.data import phantom
from bench.data.dataset import Dataset
from bench.report.figures.style import markers, outline_of


def column(page, name: str) -> list[str]:
    heads = [text.strip(" ↑↓") for text in page.locator("#jobs thead th").all_inner_texts()]
    cells = page.locator(f"#jobs tbody tr > :nth-child({heads.index(name) + 1})")
    return cells.all_inner_texts()


def test_classes_have_colours_and_a_dice_each(tmp_path, open_page, scans):
    halves = [
        np.where(np.arange(mask.shape[1]) < 32, mask, 2 * mask).astype(np.uint8) for mask in scans.masks
    ]
    data = Dataset(**{**vars(scans), "masks": halves, "classes": ("left half", "right half")})
    study = make_study(
        tmp_path / "s", data, [make_job("unet-32-64", "baseline"), make_job("unet-32-64", "pm-kd")]
    )
    for job in study.records():
        for part in ("val", "test"):
            job[part] |= {"dice_left half": 0.25, "dice_right half": 0.75}
            for row in job[part]["rows"]:
                row |= {"dice_left half": 0.125, "dice_right half": None}
        study.path("records", job["id"]).write_text(json.dumps(job))
    page = open_page(write(study, data))
    assert column(page, "Dice, left half") == 2 * ["0.250"]
    assert column(page, "Dice, right half") == 2 * ["0.750"]
    page.locator("#cases").scroll_into_view_if_needed()
    views = page.locator("#views figure")
    views.nth(3).locator("path.prediction").nth(1).wait_for(state="attached")
    assert "left half 0.125 · right half –" in views.nth(2).inner_text()
    swatches = views.nth(1).locator(".swatch")
    colours = [swatches.nth(k).evaluate("node => getComputedStyle(node).backgroundColor") for k in (0, 1)]
    assert len(set(colours)) == 2
    for pane, kind in ((1, "truth"), (2, "truth"), (2, "prediction"), (3, "prediction")):
        for k in (0, 1):
            path = views.nth(pane).locator(f"path.{kind}[data-class='{k}']")
            assert path.evaluate("node => getComputedStyle(node).stroke") == colours[k], (pane, kind)


def test_b_minus_a_is_of_the_cases_that_both_have(tmp_path, open_page, scans):
    jobs = [make_job("unet-32-64", "baseline"), make_job("unet-32-64", "pm-kd")]
    study = make_study(tmp_path / "s", scans, jobs)
    for job, dice in zip(jobs, ((0.5, 0.8, 0.8), (None, 0.81, 0.81)), strict=True):
        record = study.record(job.id)
        for k, row in enumerate(record["test"]["rows"]):
            row["dice"] = dice[k % 3]
        study.path("records", job.id).write_text(json.dumps(record))
    page = open_page(write(study, None))
    assert page.locator("#patient-cases tfoot td").last.inner_text() == "+1.0", "not 81 − 70"
    assert page.locator("#patient-cases tbody tr").first.locator("td").last.inner_text() == "–"


def test_networks_have_the_signs_of_the_figures_and_other_losses_are_hollow(tmp_path, open_page, scans):
    names = [f"unet-{k}" for k in range(2, 14)]
    jobs = [make_job(name, "baseline") for name in names]
    jobs.append(dataclasses.replace(jobs[0], seg_loss="bce"))
    page = open_page(write(make_study(tmp_path / "s", scans, jobs), None))
    marks = page.evaluate("study.marks")
    assert marks == {name: outline_of(mark) for name, mark in markers(names).items() if name in names}
    assert len(set(marks.values())) == 12
    shown = page.locator("#cost-legend ul[aria-label^='Signs'] path")
    assert [shown.nth(k).get_attribute("d") for k in range(12)] == [
        marks[name] for name in page.evaluate("study.networks")
    ]
    others = page.locator("#cost-legend ul").last
    assert others.locator("li").all_inner_texts() == ["dice-bce", "bce"]
    fills = [others.locator("path").nth(k).get_attribute("fill-opacity") for k in (0, 1)]
    assert fills == ["0.4", "0"]
    dashes = page.locator("#curves-legend ul").last.locator("path")
    assert [dashes.nth(k).get_attribute("stroke-dasharray") for k in (0, 1)] == [None, "6 3"]
    # The signs themselves, where they are drawn.
    assert page.evaluate("charts['cost-plot'].data.datasets[0].rows.length") == 13
    ink = page.evaluate(
        """() => {
          const chart = charts["cost-plot"], scale = devicePixelRatio;
          const { x, y } = chart.getDatasetMeta(0).data[0];
          const [left, top, side] = [x - 6, y - 6, 12].map((value) => value * scale);
          const { data } = chart.ctx.getImageData(left, top, side, side);
          return data.filter((value, k) => k % 4 === 3 && value > 60).length;
        }"""
    )
    assert ink > 10


def test_slices_and_volumes_are_told_apart(tmp_path, open_page):
    flat = phantom.generate(patients=2, slices=4, side=32)
    data = Dataset(
        **{
            **vars(flat),
            "cases": ("v0", "v1"),
            "patients": ("p0", "p1"),
            "images": [
                np.stack([i[0] for i in flat.images[4 * k : 4 * k + 4]], axis=-1)[None] for k in (0, 1)
            ],
            "masks": [np.stack(flat.masks[4 * k : 4 * k + 4], axis=-1) for k in (0, 1)],
        }
    )
    jobs = [make_job("unet-32-64", "baseline", dims=3)]
    jobs.append(dataclasses.replace(make_job("unet-32-64", "baseline"), slices="axial", patch=(32, 32)))
    page = open_page(write(make_study(tmp_path / "s", data, jobs), None))
    assert " 64³ and 64² " in page.inner_text("#about") or " 64² and 64³ " in page.inner_text("#about")
    assert sorted(column(page, "Sees")) == ["axial slices", "volumes"]
    assert page.inner_text("#case-label") == "Volume"
    assert page.locator("#cost-legend ul").last.locator("li").all_inner_texts() == [
        "volumes", "axial slices",
    ]  # fmt: skip
