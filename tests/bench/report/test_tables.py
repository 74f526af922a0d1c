"""Tables of simulated records, what they say and how names from files are shown."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from commands import missing

from bench.report import frames, published
from bench.report.comparisons import comparisons
from bench.report.report import write_report
from bench.report.tables.latex import escape_latex, latex
from bench.report.tables.markup import BEST, HARM, UNCLEAR, Table, escape_markdown, markdown
from bench.report.tables.matrix import GAIN, GAIN_NETWORKS, TO_TEACHER, TO_TEACHER_NETWORKS
from bench.report.tables.tables import all_tables, cost_table
from bench.report.tables.writing import write_table

NETWORKS = ("unet-32-64-128-256", "unet-32-64-128", "unet-32-64")
NASTY = (
    "a_b & 50 % | <script>alert(1)</script> [x](y) `c` {d} \\e ^f ~g $h$ #i *j* é ß 肝 --k "
    "--- '' `` ?` ,, ~~l~~"
)


def tables_of(study, folder, part="val"):
    frame, scored = frames.summary(study), frames.cases(study, part)
    done = frame[frame.status == "done"]
    compared = comparisons(done, scored, study.contrasts())
    made = [*all_tables(done, scored, compared, frames.latency(study)), *published.tables(done, compared)]
    return {table.name: write_table(folder, table) for table in made if len(table.frame)}


@pytest.fixture
def pdflatex():
    """LaTeX. Where it is missing the test is skipped, in CI it fails."""
    found = shutil.which("pdflatex")
    if found is None:
        missing("there is no pdflatex (Debian: texlive-latex-base, texlive-latex-recommended)")
    return found


def test_the_full_matrix(folded, tmp_path):
    folded.simulated.measure()
    study = folded.name("unet-32-64:combined").fill(networks=NETWORKS).study
    written = tables_of(study, tmp_path, "test")
    assert set(written) == {"matrix", "report", "cost", "patients"}
    text = written["matrix"].read_text()
    assert "**test** scores, 5 folds" in text
    table = pd.read_csv(tmp_path / "matrix.csv").set_index(["architecture", "method"])
    assert len(table) == 13
    row = table.loc["unet-32-64", "combined"]
    assert row.claim == "gain"
    assert re.fullmatch(r"\+\d\.\d \[\+\d\.\d, \+\d\.\d\]", row[GAIN])
    assert re.fullmatch(r"\[\+\d\.\d, \+\d\.\d\]", row[GAIN_NETWORKS])
    assert re.fullmatch(r"-\d\.\d \[-\d\.\d, -\d\.\d\]", row[TO_TEACHER])
    assert re.fullmatch(r"\[-\d\.\d, -\d\.\d\]", row[TO_TEACHER_NETWORKS])
    assert re.fullmatch(r"\d\d %", row["gap closed"])
    assert row["as good as teacher"] == "no"
    assert row.parameters == "100,961 (÷76.2)"
    assert row["GMACs"] == "0.0707 (÷76.2)"
    assert row["MB"].endswith("(÷76.2)")
    assert row["CPU ms, p50"].endswith("(÷8.73)")
    assert re.fullmatch(r"0\.\d{3} ± 0\.\d{3}", row["Dice (test)"])
    assert len(row.record.split()) == 5, "every number leads to its runs"
    assert table.loc["unet-32-64-128", "combined"].claim == "descriptive"


def test_the_published_table_has_folds_claims_and_shares(folded, tmp_path):
    tables_of(folded.name("unet-32-64:combined").fill(networks=NETWORKS).study, tmp_path, "test")
    table = pd.read_csv(tmp_path / "report.csv").set_index("network")
    row = table.loc["unet-32-64"]
    assert row.claim == "gain"
    assert re.fullmatch(r"\+\d\.\d \[\+\d\.\d, \+\d\.\d\]", row["gain, points [95 % CI]"])
    assert re.fullmatch(r"\d\d %", row["gap closed"])
    assert row["report: gap closed"] == "26 %", "(0.4708 − 0.3767) / (0.7408 − 0.3767)"
    assert table["report: gap closed"]["unet-32-64-128-256"] == "87 %"
    done = frames.summary(folded.study)
    own = done[(done.architecture == "unet-32-64") & (done.method == "combined")]
    assert row["PM + AT (distilled)"] == pytest.approx(own.dice.mean())


def test_no_gap_stands_where_the_share_would(folded, tmp_path):
    for fold in range(5):
        folded.add("unet-64-128-256-512", "baseline", fold, effect=0.0)
        folded.add("unet-32-64", "baseline", fold, effect=0.1)
        folded.add("unet-32-64", "combined", fold, effect=0.12)
    written = tables_of(folded.study, tmp_path, "test")
    assert "no gap" in written["matrix"].read_text()
    assert "no gap" in written["report"].read_text()


def test_marks_say_what_may_be_said(folded, tmp_path):
    named = [f"unet-32-64:{method}" for method in ("pm-kd", "at-kd", "combined")]
    written = tables_of(folded.name(*named).fill().study, tmp_path, "test")
    lines = {line.split("|")[2].strip(): line for line in written["matrix"].read_text().splitlines()
             if line.startswith("| unet-32-64 ")}  # fmt: skip
    assert "] ↓ |" in re.sub(" +", " ", lines["at-kd"])
    assert "not significant °" in lines["pm-kd"]
    assert "**0." in lines["combined"], "the best, by significance"
    assert "**0." not in lines["baseline"]
    tex = (tmp_path / "matrix.tex").read_text()
    assert r"\textcolor{gray}{not significant}" in tex
    assert r"\textbf{0." in tex
    assert r"harm $\downarrow$" in tex


def test_one_split_claims_nothing_anywhere(simulated, tmp_path):
    written = tables_of(simulated.fill(seeds=3), tmp_path)
    table = pd.read_csv(tmp_path / "matrix.csv")
    assert set(table.claim.dropna()) == {"none (no folds)"}
    text = written["matrix"].read_text()
    assert "**0." not in text, "no best"
    assert "↓" not in text
    assert "One split: nothing is claimed" in written["report"].read_text()
    assert "+2.9" not in written["report"].read_text() or "°" in written["report"].read_text()


def test_other_recipes_stand_apart(simulated, tmp_path):
    simulated.fill(students=1)
    for seed in range(3):
        simulated.add("unet-32-64", "baseline", seed, effect=-0.2, seg_loss="bce")
        simulated.add("unet-32-64", "combined", seed, effect=-0.1, seg_loss="bce")
        simulated.add("unet-32-64", "pm-kd[variant=official]", seed, effect=0.0)
    tables_of(simulated.study, tmp_path)
    matrix, recipes = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("matrix", "recipes"))
    assert len(matrix) == 5
    assert list(recipes["L_seg"]) == ["bce", "bce", "dice-bce"]
    weak = recipes[(recipes["L_seg"] == "bce") & (recipes.method == "combined")].squeeze()
    assert float(weak[GAIN]) == pytest.approx(10, abs=1), "against the weak baseline"
    assert "variant=official" in recipes["parameters of the method"].iloc[2]


def test_distilling_costs_its_teacher_and_the_recording(simulated):
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    frame = frames.summary(study)
    table = cost_table(frame)
    assert "don't say what recording took" in table.caption
    row = table.frame[table.frame.method == "combined"].squeeze()
    # Training: 100 s and 1 s per 10,000 parameters.
    assert (row["training, s"], row["teacher's training, s"], row["together, s"]) == ("110", "870", "980")
    assert row["against plain"] == "×8.9"
    path = study.path("records", simulated.job("unet-32-64", "combined", 0).id)
    record = json.loads(path.read_text())
    record["cost"]["seconds"] = {"recording": 50.0}
    path.write_text(json.dumps(record))
    table = cost_table(frames.summary(study))
    row = table.frame[table.frame.method == "combined"].squeeze()
    assert (row["recording, s"], row["together, s"]) == ("50", "1,030")
    assert "don't say" not in table.caption


def test_classes_and_patients_of_folds(folded, tmp_path):
    """Every patient once, by networks that never saw it; spreads are over folds."""
    study = folded.fill(names=("baseline",), seeds=2).study
    frame, scored = frames.summary(study), frames.cases(study, "test")
    scored = scored.assign(dice_liver=scored.dice, dice_tumour=scored.dice / 2)
    for table in all_tables(frame, scored, comparisons(frame, scored), frames.latency(study)):
        write_table(tmp_path, table)
    patients = pd.read_csv(tmp_path / "patients.csv")
    assert list(patients.patient) == 2 * [f"p{k}" for k in range(60)]
    own = scored[scored.architecture == "unet-32-64"]
    assert patients.set_index(["network", "patient"]).plain["unet-32-64", "p7"] == pytest.approx(
        own[own.patient == "p7"].dice.mean()
    )
    each = own.groupby(["fold", "seed", "patient"]).dice.mean().groupby("fold").mean()
    classes = pd.read_csv(tmp_path / "classes.csv").set_index("architecture")
    assert classes["Dice, liver"]["unet-32-64"] == f"{each.mean():.3f} ± {each.std():.3f}"
    assert "sd over folds" in (tmp_path / "classes.md").read_text()


def test_the_main_table_says_where_its_latencies_are_of_several_sessions(simulated, tmp_path):
    """Only those of its own networks: converted ones have a table of their own."""
    study = simulated.fill(seeds=1)
    simulated.measure()
    file = study.root / "profile.json"
    entries = json.loads(file.read_text())["entries"]
    of_one = {"entries": [*entries, entries[0] | {"graph": "unet-32-64 openvino int8", "session": "later"}]}
    file.write_text(json.dumps(of_one))
    tables_of(study, tmp_path)
    assert "sessions" not in (tmp_path / "matrix.md").read_text()
    graphs = {entry["graph"] for entry in entries}
    assert len(graphs) > 1
    later = [entry | ({"session": "later"} if entry["graph"] == max(graphs) else {}) for entry in entries]
    file.write_text(json.dumps({"entries": later}))
    tables_of(study, tmp_path)
    assert "On cpu measured in 2 sessions" in (tmp_path / "matrix.md").read_text()


def test_every_patient_and_class(simulated, tmp_path):
    study = simulated.fill(seeds=2, students=1)
    frame, scored = frames.summary(study), frames.cases(study, "val")
    scored = scored.assign(dice_liver=scored.dice, dice_tumour=scored.dice / 2)
    compared = comparisons(frame, scored)
    for table in all_tables(frame, scored, compared, frames.latency(study)):
        write_table(tmp_path, table)
    patients = pd.read_csv(tmp_path / "patients.csv")
    assert len(patients) == 2 * 22
    assert list(patients.patient[:3]) == ["p0", "p1", "p2"]
    means = scored.groupby(["architecture", "method", "patient"]).dice.mean()
    found = patients.set_index(["network", "patient"]).loc[("unet-32-64", "p7"), "PM + AT"]
    assert found == pytest.approx(means["unet-32-64", "combined", "p7"])
    classes = pd.read_csv(tmp_path / "classes.csv").set_index(["architecture", "method"])
    whole, half = classes.loc["unet-32-64", "combined"]
    assert float(whole.split()[0]) == pytest.approx(2 * float(half.split()[0]), abs=2e-3)


def test_no_finished_job_writes_no_table(simulated, told):
    root = simulated.study.root
    write_report(simulated.study, None)
    assert any(line.startswith("report: 0 tables and 0 figures") for line in told)
    assert not (root / "tables").exists()


def test_names_are_shown_and_never_run():
    text = escape_markdown(NASTY)
    assert "<script>" not in text
    assert "\\|" in text
    assert "](y)" not in text
    assert "a_b" in text, "an underscore inside a word is no emphasis"
    assert escape_markdown("_x_ &lt;") == r"\_x\_ &amp;lt;"
    assert escape_latex("a_b & 50 % {y} -3") == r"a\_b \& 50 \% \{y\} $-$3"
    assert escape_latex("\\input{x}") == r"\textbackslash{}input\{x\}"
    assert escape_latex("肝") == r"\texttt{U+809D}"
    table = Table("t", "c", pd.DataFrame({"a": [NASTY]}), {(0, "a"): BEST})
    row = markdown(table).splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", row)) == 2, "one cell"


@pytest.fixture
def pages(pdflatex, tmp_path):
    """Set tables in LaTeX's own article; gives its log."""

    def make(names):
        inputs = "\n".join(rf"\input{{{name}.tex}}\clearpage" for name in names)
        (tmp_path / "all.tex").write_text(
            "\\documentclass{article}\n\\usepackage{booktabs,longtable,xcolor}\n"
            f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
        )
        done = subprocess.run(
            [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
            cwd=tmp_path, check=False, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / "all.pdf").stat().st_size > 10_000
        return (tmp_path / "all.log").read_text(errors="replace")

    return make


def test_latex_compiles(pages, folded, tmp_path):
    """Every table of a study, and one of a nasty name with every mark."""
    folded.simulated.measure()
    study = folded.name("unet-32-64:combined").fill(networks=NETWORKS).study
    written = tables_of(study, tmp_path, "test")
    frame = pd.DataFrame({NASTY: [f"[{NASTY}", f"*{NASTY}", None], "b": [1.0, 2.0, float("nan")]})
    marks = {(0, NASTY): HARM, (1, NASTY): UNCLEAR, (0, "b"): BEST}
    for name, long in (("nasty", False), ("nasty_long", True)):
        (tmp_path / f"{name}.tex").write_text(latex(Table(name, NASTY, frame, marks, long=long)))
    assert "Missing character" not in pages([*written, "nasty", "nasty_long"])


def test_latex_fits_a_page_with_letters_of_seven_points(pages, folded, tmp_path):
    """LaTeX itself finds no table wider than the text, and nothing is shrunk or set smaller."""
    folded.simulated.measure()
    named = [f"unet-32-64:{method}" for method in ("pm-kd", "at-kd", "combined")]
    study = folded.name(*named).fill(networks=NETWORKS).study
    for fold in range(5):
        folded.add("unet-32-64", "pm-kd[variant=official,temperature=2]", fold, seg_loss="bce")
    written = tables_of(study, tmp_path, "test")
    names = [f"cell {k}" for k in range(30)]
    wide = pd.DataFrame([dict.fromkeys(["architecture", *names], "0.123 [+1.0, +2.0]")] * 2)
    (tmp_path / "wide.tex").write_text(latex(Table("wide", "Of many columns.", wide)))
    log = pages([*written, "wide"])
    assert "Overfull" not in log
    assert "Float too large" not in log
    for path in tmp_path.glob("*.tex"):
        text = path.read_text()
        assert "resizebox" not in text
        assert all(float(size) >= 7 for size in re.findall(r"fontsize\{([\d.]+)\}", text))
        assert not re.search(r"\\(tiny|scriptsize|scalebox)", text)
    matrix = (tmp_path / "matrix.tex").read_text()
    assert matrix.count(r"\begin{table*}") > 1, "split"
    assert matrix.count("unet-64-128-256-512 & ") == matrix.count(r"\begin{table*}"), (
        "every part names its rows"
    )
    assert "Continued, part 2 of" in matrix
    table = pd.read_csv(tmp_path / "matrix.csv")
    shown = [column for column in table if column not in ("record", TO_TEACHER_NETWORKS)]
    heads = [line for line in matrix.splitlines() if line.startswith("architecture & ")]
    found = {name for head in heads for name in head.removesuffix(r" \\").split(" & ")}
    assert found == {escape_latex(name) for name in shown}, "no column is lost"
    assert "row & architecture" in (tmp_path / "wide.tex").read_text(), "equal rows are told apart"
