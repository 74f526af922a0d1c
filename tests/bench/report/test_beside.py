"""Two studies side by side, as ``report --beside`` writes them, and two budgets in one study."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from bench.files.atomic import write_json
from bench.report import frames
from bench.report.figures import style
from bench.report.figures.style import heading
from bench.report.report import write_report
from bench.report.standard import sets
from bench.study.store import Study

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"
NAMED = (f"{SMALL}:combined",)


def with_settings(root, **changes):
    """The study at ``root``, begun: which data and split it was made from, and what else is asked for."""
    settings = json.loads((root / "study.json").read_text())
    made_from = {"dataset": "liver-ct", "data": "d", "split": "s"}
    write_json(root / "study.json", settings | made_from | changes)
    return root


def add(part, fold, **more):
    """Teacher, plain and distilled student of a fold."""
    teacher = part.add(TEACHER, "baseline", fold, **more)
    part.add(SMALL, "baseline", fold, **more)
    part.add(SMALL, "combined", fold, teachers=(teacher,), **more)


@pytest.fixture
def budgets(folded, tmp_path):
    """Two empty studies, and what is said of a job's updates in each: 500 of them, and 2,000."""
    longer = replace(folded, simulated=replace(folded.simulated, study=Study(tmp_path / "longer")))
    for part in (folded, longer):
        with_settings(part.name(*NAMED).study.root)
    return (folded, {}), (longer, {"updates": 2000, "made": 2000})


@pytest.fixture
def both(budgets):
    """Five folds of 500 updates, and the first of them once more with 2,000."""
    for (part, more), folds in zip(budgets, (range(5), [0]), strict=True):
        for fold in folds:
            add(part, fold, **more)
    (shorter, _), (longer, _) = budgets
    for fold in range(5):
        shorter.add(SMALL, "pm-kd", fold)
    return shorter.study.root, longer.study.root


def test_what_both_have_stands_in_one_table_and_on_the_page(both, bench, no_figures):
    ours, theirs = both
    done = bench("report", ours, "--beside", theirs)
    assert done.code == 0, done.err
    table = pd.read_csv(ours / "tables" / "beside_longer.csv")
    assert list(table.method) == ["baseline", "baseline", "combined"], "the other study has no pm-kd"
    dice = [f"Dice (test), {number} updates" for number in ("500", "2,000")]
    assert list(table.columns)[2:5] == [*dice, "from the first to the second, points"]
    cases = [pd.read_csv(root / "cases.csv") for root in (ours, ours)]
    bench("report", theirs)
    cases[1] = pd.read_csv(theirs / "cases.csv")
    means = [
        own[(own.method == "combined") & (own.fold == 0)].groupby("patient").dice.mean() for own in cases
    ]
    row = table.set_index("method").loc["combined"]
    assert float(row["Dice (test), 500 updates"]) == pytest.approx(means[0].mean(), abs=5e-4), (
        "fold 0 alone"
    )
    gained = 100 * (means[1] - means[0]).mean()
    assert float(row["from the first to the second, points"]) == pytest.approx(gained, abs=0.05)
    assert row["claim, 2,000 updates"] == "none (1 fold)"
    caption = (ours / "tables" / "beside_longer.md").read_text()
    assert "1 of 5 folds, 500 updates a job" in caption
    assert "1 of 5 folds, 2,000 updates a job" in caption
    assert "500 updates: 1 fold: too few for a claim. 2,000 updates: 1 fold" in caption
    assert "and not here" not in caption
    assert "Dice: mean over patients. Δ plain" in caption
    assert "95 % intervals: of the method" in caption
    assert "networks alone" not in caption
    assert '"beside":[{"caption"' in (ours / "page-data.js").read_text()


def test_a_network_of_one_study_alone_is_named(both, folded, bench, no_figures):
    ours, theirs = both
    folded.add("unet-32-64-128", "baseline", 0)
    bench("report", ours, "--beside", theirs)
    caption = (ours / "tables" / "beside_longer.md").read_text()
    assert "Of 500 updates alone, and not here: unet-32-64-128." in caption
    assert "Claimed are" in caption


def test_where_no_student_was_distilled_nothing_is_said_of_gains(budgets, bench, no_figures):
    for part, more in budgets:
        part.add(TEACHER, "baseline", 0, **more)
        part.add(SMALL, "baseline", 0, **more)
    ours, theirs = (part.study.root for part, _ in budgets)
    bench("report", ours, "--beside", theirs)
    text = (ours / "tables" / "beside_longer.md").read_text()
    assert "from the first to the second" in text
    assert not any(word in text for word in ("Δ", "Claimed", "Gap closed", "interval"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"device": "cuda"}, "Computed on cpu in fp32: 500 updates; on cuda in fp32: 2,000 updates. "),
        ({"precision": "bf16"}, "Computed on cpu in fp32: 500 updates; on cpu in bf16: 2,000 updates. "),
    ],
    ids=["alike", "another device", "another precision"],
)
def test_what_they_were_computed_on_is_said_where_it_differs(both, bench, no_figures, changed, said):
    ours, theirs = both
    for root, more in ((ours, {}), (theirs, changed)):
        with_settings(root, **{"device": "cpu", "precision": "fp32"} | more)
    bench("report", ours, "--beside", theirs)
    caption = (ours / "tables" / "beside_longer.md").read_text()
    assert said in caption if said else "Computed on" not in caption


def test_it_is_remembered_and_said_where_the_other_one_is_gone(both, bench, no_figures):
    ours, theirs = both
    bench("report", ours, "--beside", theirs)
    (ours / "tables" / "beside_longer.md").unlink()
    bench("report", ours)
    assert (ours / "tables" / "beside_longer.md").is_file()
    theirs.rename(theirs.with_name("elsewhere"))
    done = bench("report", ours)
    assert done.code == 0
    assert "../longer is no study any more" in done.out + done.err


@pytest.mark.parametrize(("key", "says"), [("data", "from data other"), ("split", "from a split other")])
def test_studies_of_other_patients_are_refused(both, refused, key, says):
    ours, theirs = both
    with_settings(theirs, **{key: "x"})
    assert says in refused("report", ours, "--beside", theirs)
    assert not (ours / "beside.json").exists()


def test_a_study_beside_itself_or_none_is_refused(both, refused, tmp_path):
    ours, _ = both
    assert "is the study itself" in refused("report", ours, "--beside", ours)
    assert "no study.json here" in refused("report", ours, "--beside", tmp_path / "none")
    (ours / "beside.json").write_text("{}")
    assert "must be a list of folders" in refused("report", ours)


def test_two_budgets_of_one_study_stand_in_its_tables_and_figures(folded, told, monkeypatch):
    monkeypatch.setattr(style, "FORMATS", (".png",))
    for more in ({}, {"updates": 2000, "made": 2000, "effect": 0.1}):
        for fold in range(3):
            add(folded, fold, **more)
    write_report(folded.study, None)
    tables = folded.study.root / "tables"
    matrix = pd.read_csv(tables / "matrix.csv")
    assert list(matrix.updates) == ["500", "2,000"] * 3
    report = pd.read_csv(tables / "report.csv")
    assert list(report.updates) == ["500", "2,000"] * 2
    assert report["PM + AT (distilled)"].diff().iloc[3] == pytest.approx(0.1 - 0.03, abs=0.01)
    assert set(pd.read_csv(tables / "patients.csv").updates) == {"500", "2,000"}
    assert not (tables / "recipes.md").exists()
    for name in ("dice_by_method", "dice_against_cost", "learning_curves"):
        for suffix in ("", "_2000-updates"):
            assert (folded.study.root / "figures" / f"{name}{suffix}.png").is_file(), name
    frame = frames.summary(folded.study)
    heads = {suffix: heading(own) for suffix, own in sets(frame).items()}
    assert "500 updates" in heads[""]
    assert "2,000 updates" in heads["_2000-updates"]
