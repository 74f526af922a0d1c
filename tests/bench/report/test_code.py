"""Records of different code in one study are said in its tables and on its page."""

import json

import pytest

from bench.files.atomic import write_json
from bench.report.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")

SAID = "Not all of one code: {} versions of it made these records."
TABLES = ("matrix", "report", "cost", "patients")


def made_by(study, *origins):
    """Let the study's records come from these codes, one after the other."""
    for k, record in enumerate(study.records()):
        origin = origins[k % len(origins)]
        write_json(study.path("records", record["id"]), record | {"provenance": origin})


def said(study) -> list[str]:
    """What the captions of the tables and the page say."""
    texts = [" ".join((study.root / "tables" / f"{name}.md").read_text().split()) for name in TABLES]
    page = (study.root / "page-data.js").read_text()
    return [*texts, json.loads(page.removeprefix("window.benchStudy = ").rstrip(";\n"))["cautions"]]


@pytest.mark.parametrize(
    ("origins", "versions"),
    [
        ([{"fingerprint": "a", "commit": None}, {"fingerprint": "b", "commit": None}], 2),
        ([{"commit": "a"}, {"commit": "b"}, {"commit": "c"}], 3),
        ([{"commit": "a"}, {"commit": "b", "fingerprint": "f"}], 2),
    ],
    ids=["by fingerprint", "old ones by commit", "old and new"],
)
def test_several_codes_are_said_everywhere(simulated, origins, versions):
    study = simulated.fill(seeds=2, students=1)
    made_by(study, *origins)
    write_report(study, None)
    assert all(SAID.format(versions) in text for text in said(study))


@pytest.mark.parametrize(
    "origins",
    [
        [{"commit": "a"}],
        [{"commit": "a", "fingerprint": "f"}, {"commit": "b", "fingerprint": "f"}],
        [{"commit": "a"}, {}],
    ],
    ids=["one commit", "the same files in two commits", "some unknown"],
)
def test_one_code_is_not_talked_of(simulated, origins):
    study = simulated.fill(seeds=2, students=1)
    made_by(study, *origins)
    write_report(study, None)
    assert not any("Not all of one code" in text for text in said(study))
