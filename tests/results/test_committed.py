"""What is committed under ``results/`` stays readable: every job keeps its id, every report its bytes."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.commands import report_study
from bench.job import Job
from bench.protocol import PROTOCOL_VERSION
from bench.report import frames
from bench.report.beside import remembered
from bench.report.figures import style
from bench.report.tables.markup import csv_text
from bench.study.store import Study, existing

RESULTS = Path(__file__).resolve().parents[2] / "results"
STUDIES = sorted(path.parent for path in RESULTS.rglob("study.json"))
REPORTED = [study for study in STUDIES if (study / "index.html").is_file()]
"""Studies with their whole report."""
DRAWN_TWICE = ("v1/phantom", "hippocampus-distilled")
"""Studies whose figures are drawn as PDF, too: elsewhere the PNG tells what a figure shows."""
MADE = ("summary.csv", "cases.csv", "cases_val.csv", "comparisons.csv", "latency.csv", "index.html")


def name(study: Path) -> str:
    return study.relative_to(RESULTS).as_posix()


def made_by_report(study: Path) -> dict[str, bytes]:
    """What ``report`` writes and git keeps, by path: CSV files, tables, figures, the page."""
    found = [study / file for file in (*MADE, "page-data.js") if (study / file).is_file()]
    for folder in ("tables", "figures", "page/cases"):
        found += [path for path in (study / folder).rglob("*") if path.is_file()]
    return {path.relative_to(study).as_posix(): path.read_bytes() for path in sorted(found)}


def test_the_studies_are_there():
    first = [study for study in STUDIES if name(study).startswith("v1/")]
    assert len(first) == 10
    assert {f"v1/{study}" for study in ("phantom", "liver-ct", "hippocampus")} <= set(map(name, REPORTED))
    assert sum(len(list((study / "records").glob("*.json"))) for study in first) == 125


@pytest.mark.parametrize("study", STUDIES, ids=name)
def test_studies_of_an_earlier_protocol_lie_in_its_folder(study):
    versions = {json.loads(path.read_text())["protocol"] for path in (study / "jobs").glob("*.json")}
    assert len(versions) == 1
    [version] = versions
    assert name(study).startswith("v1/") == (version < PROTOCOL_VERSION)


@pytest.mark.parametrize("study", STUDIES, ids=name)
def test_every_job_and_record_keeps_its_id(study, tmp_path):
    """Read from the files themselves, and as every command reads them, which would set damage aside."""
    for kind in ("jobs", "records"):
        for path in sorted((study / kind).glob("*.json")):
            content = json.loads(path.read_text())
            written = content["job"] if kind == "records" else content
            written.pop("checksum", None)
            job = Job.from_dict(written)
            assert job.id == path.stem
            assert written.items() <= json.loads(json.dumps(job.as_dict())).items(), "keys keep their names"
    copy = Study(shutil.copytree(study, tmp_path / "study"))
    count = len(list((study / "records").glob("*.json")))
    assert len(copy.records()) == count
    assert len(copy.jobs()) == len(list((study / "jobs").glob("*.json")))
    assert not list(copy.root.rglob("*.corrupt*"))


@pytest.mark.slow
@pytest.mark.parametrize("study", REPORTED, ids=name)
def test_the_report_of_a_copy_is_what_is_committed(study, tmp_path, monkeypatch):
    before = made_by_report(study)
    copy = shutil.copytree(study, tmp_path / "study")
    kept = ["page/cases/", "figures/cases"]  # those need the images
    if name(study) not in DRAWN_TWICE:
        monkeypatch.setattr(style, "FORMATS", (".png",))
        kept += [path for path in before if path.startswith("figures/") and path.endswith(".pdf")]
    for path in before:
        if not path.startswith(tuple(kept)):
            (copy / path).unlink()
    for other in remembered(Study(copy)):
        shutil.copytree(study / other, copy / other)
    report_study(existing(copy), None)
    after = made_by_report(copy)
    assert after.keys() == before.keys()
    assert [path for path in before if after[path] != before[path]] == []


@pytest.mark.parametrize("study", [s for s in STUDIES if s not in REPORTED], ids=name)
def test_the_summary_of_a_study_without_a_report_is_what_is_committed(study):
    """Costs come from ``profile.json``, which most of these studies leave out of git."""
    committed = (study / "summary.csv").read_text()
    made = csv_text(frames.written(frames.summary(Study(study))))
    if (study / "profile.json").is_file():
        assert made == committed
        return
    ours, theirs = (pd.read_csv(io.StringIO(text)) for text in (made, committed))
    assert list(ours.columns) == list(theirs.columns)
    measured = [column for column in theirs if ours[column].isna().all()]
    pd.testing.assert_frame_equal(ours.drop(columns=measured), theirs.drop(columns=measured))
