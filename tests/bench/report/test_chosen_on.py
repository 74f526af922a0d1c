"""Contrasts on the patients that no choice was made on, as ``report --chosen-on`` writes them."""

import pandas as pd
import pytest

from bench.files.atomic import write_json

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"
SEEN = ["p0", "p1", "p7"]


@pytest.fixture
def study(folded):
    folded.name(f"{SMALL}:combined").fill(names=("baseline", "pm-kd", "combined"))
    write_json(folded.study.root / "study.json", folded.study.settings() | {"dataset": "liver-ct"})
    return folded.study


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "seen.txt"
    path.write_text("\n".join(SEEN))
    return path


def test_a_contrast_stands_on_the_other_patients_too(study, names, bench, no_figures):
    assert bench("report", study.root, "--chosen-on", names).code == 0
    assert bench("report", study.root).code == 0, "they are remembered"
    cases = pd.read_csv(study.root / "cases.csv")
    own = cases[(cases.architecture == SMALL) & ~cases.patient.isin(SEEN)]
    means = own.groupby(["method", "fold", "patient"]).dice.mean().unstack("method")
    folds = (means.combined - means.baseline).groupby("fold").mean()
    compared = pd.read_csv(study.root / "comparisons.csv")
    [contrast] = compared[compared.contrast].itertuples()
    assert contrast.unseen == pytest.approx(folds.mean())
    assert contrast.unseen != pytest.approx(contrast.difference)
    assert contrast.low_unseen < contrast.unseen < contrast.high_unseen
    assert compared.unseen[~compared.contrast].isna().all(), "no other difference was named"
    table = (study.root / "tables" / "matrix.md").read_text()
    assert "Δ plain, unseen patients" in table
    assert "Unseen: the 57 patients that no choice was made on before" in table


def test_without_such_patients_nothing_is_said(study, bench, no_figures):
    bench("report", study.root)
    assert "unseen" not in pd.read_csv(study.root / "comparisons.csv")
    assert "unseen" not in (study.root / "tables" / "matrix.md").read_text()


def test_bad_names_are_one_line(study, names, refused, tmp_path):
    assert "can't be read" in refused("report", study.root, "--chosen-on", tmp_path / "none.txt")
    names.write_text("\n")
    assert "names no patient" in refused("report", study.root, "--chosen-on", names)
    names.write_text("p0\nsomebody\n")
    said = refused("report", study.root, "--chosen-on", names)
    assert "names 'somebody', which is no patient that the study scored" in said
    (study.root / "chosen_on.json").write_text("3")
    assert "must be a list of patients" in refused("report", study.root)
