"""Studies of a user's own folder of 2-D images, through the command line."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from image_files import describe, write_folder
from PIL import Image
from volume_files import write_decathlon

from bench.data import datasets
from bench.study.store import Study


@pytest.fixture
def folder(tmp_path):
    root = write_folder(tmp_path / "polyps", people=8)
    describe(root, labels={"background": 0, "polyp": 1, "tool": 2}, pixel_spacing=[0.5, 0.25])
    return root


@pytest.fixture
def arguments(tmp_path, folder):
    matrix = {
        "teacher": "unet-4-8",
        "students": ["unet-2-4"],
        "methods": ["baseline", "pm-kd"],
        "image_size": 16,
        "updates": 80,
        "workers": 2,
    }
    (tmp_path / "m.yaml").write_text(json.dumps(matrix))
    results = ("--results", tmp_path / "s", "--device", "cpu")
    return ("--matrix", tmp_path / "m.yaml", "--dataset", folder, *results)


@pytest.mark.slow
def test_from_a_colour_folder_of_two_classes_to_the_tables(
    bench, arguments, tmp_path, short, brief_profile, no_figures
):
    result = bench(*arguments, "--patient-column", "person")
    assert result.code == 0, result.err
    root = tmp_path / "s"
    study = Study(root)
    assert study.settings()["patient_column"] == "person"
    records = study.records()
    assert {record["status"] for record in records} == {"done"}
    for record in records:
        assert (record["job"]["in_channels"], record["job"]["out_channels"]) == (3, 3)
        assert record["dataset"]["spacing_mm"] == [0.5, 0.25]
        assert len(record["dataset"]["mean"]) == 3
    frame, cases = pd.read_csv(root / "summary.csv"), pd.read_csv(root / "cases.csv")
    assert len(frame) == 3
    assert frame[["dice_polyp", "dice_tool", "hd95_polyp_val"]].notna().all().all()
    assert cases.hd95.max() <= (20**2 * (0.5**2 + 0.25**2)) ** 0.5 + 1e-6, "millimetres"
    assert set(cases.patient) == {case.split("_")[0] for case in cases.case}
    assert "unet-2-4" in (root / "tables" / "matrix.md").read_text()
    assert (root / "index.html").is_file()
    again = bench(*arguments)
    assert "nothing to run" in again.out, "the column is remembered"


def test_the_column_is_frozen_with_the_study(bench, refused, arguments, nothing_runs, tmp_path):
    assert bench(*arguments, "--patient-column", "person").code == 0
    assert Study(tmp_path / "s").settings()["patient_column"] == "person"
    assert bench(*arguments, "--dry-run").out.count("to do") == 3
    line = refused(*arguments, "--patient-column", "file")
    assert "the study was begun with patient_column 'person', now it is 'file'" in line
    assert "was begun with data" in refused(*arguments, "--patient-key", r"p(\d\d)")


def test_a_study_by_key_is_not_gone_on_with_by_column(bench, refused, arguments, nothing_runs):
    assert bench(*arguments, "--patient-key", "p..").code == 0
    assert bench(*arguments, "--dry-run").out.count("to do") == 3
    assert "begun with patient_column None" in refused(*arguments, "--patient-column", "person")


def test_the_process_of_a_job_reads_the_same_patients(bench, arguments, nothing_runs, tmp_path):
    """What a job is told is the folder; the column stands in the study."""
    from bench.planning.options import Options
    from bench.planning.session import open_session

    assert bench(*arguments, "--patient-column", "person").code == 0
    told = Options(dataset="polyps", data=tmp_path / "polyps").of_a_job
    assert told.patient_column == ""
    session = open_session(tmp_path / "s", Options(dataset="polyps", data=tmp_path / "polyps"))
    assert (
        session.dataset.patients
        == datasets.load(str(tmp_path / "polyps"), patient_column="person").patients
    )


def test_what_is_odd_is_said_once_and_stands_in_the_study(bench, arguments, nothing_runs, folder, tmp_path):
    describe(folder, labels={"background": 0, "polyp": 1, "tool": 2, "scar": 3})
    (folder / "index.csv").write_text((folder / "index.csv").read_text().replace(",p01", ",P00"))
    odd = [
        "patients 'P00' and 'p00' differ in upper and lower case alone: taken for two",
        "no training mask holds the class scar: it can't be learned",
    ]
    call = (*arguments, "--patient-column", "person")
    assert bench(*call, "--dry-run").err.splitlines()[:2] == odd
    assert bench(*call).err.splitlines()[:2] == odd
    assert json.loads((tmp_path / "s" / "study.json").read_text())["warnings"] == odd
    assert not set(odd) & set(bench(*call).err.splitlines()), "it stands in the study now"
    assert bench(*call, "--dry-run").err.splitlines()[:2] == odd


def test_a_splits_file_counts_where_it_is_named(bench, arguments, nothing_runs, folder, tmp_path):
    cases = [f"p{k:02}_{n}" for k in range(8) for n in range(2)]
    path = folder / "splits_final.json"
    path.write_text(
        json.dumps([{"train": cases[:8], "val": cases[8:]}, {"train": cases[8:], "val": cases[:8]}])
    )
    assert bench(*arguments, "--patient-column", "person", "--dry-run").out.count("to do") == 3
    assert bench(*arguments, "--patient-column", "person", "--splits", path).code == 0
    kept = json.loads((tmp_path / "s" / "splits.json").read_text())
    assert [sorted(fold["test"]) for fold in kept] == [cases[8:], cases[:8]]


def test_help_names_the_option(bench):
    text = " ".join(bench("--help").out.split())
    assert "--patient-column" in text
    assert "--patient-key" in text


def test_mistakes_are_one_line_and_leave_nothing(refused, arguments, tmp_path):
    volumes = write_decathlon(tmp_path / "Balls", count=3)
    wrong = [*arguments]
    wrong[3] = volumes
    assert "holds volumes, which have no index.csv" in refused(*wrong, "--patient-column", "person")
    wrong[3] = tmp_path
    assert "images/, masks/ and index.csv (2-D images) or dataset.json" in refused(*wrong)
    assert "--patient-column must be one of file, person" in refused(*arguments)
    assert "column 'name' is missing; found: file, person" in refused(
        *arguments, "--patient-column", "name"
    )
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("nothing_runs")
def test_a_report_from_other_data_is_refused(bench, refused, arguments, folder, tmp_path, monkeypatch):
    result = bench(*arguments, "--patient-column", "person")
    assert result.code == 0, result.err
    given = []
    monkeypatch.setattr("bench.commands.write_report", lambda study, dataset: given.append(dataset))
    other = tmp_path / "elsewhere" / "polyps"
    shutil.copytree(folder, other)
    assert bench("report", tmp_path / "s", "--data", other).code == 0
    assert given[0].fingerprint == Study(tmp_path / "s").settings()["data"], "the same, elsewhere"
    for path in (other / "masks").iterdir():
        Image.fromarray(2 - np.asarray(Image.open(path))).save(path)
    line = refused("report", tmp_path / "s", "--data", other)
    assert f"study.json: the study was made from data '{given[0].fingerprint}', --data {other} is" in line
    assert line.endswith("name the folder that the study was made from")
    assert len(given) == 1
