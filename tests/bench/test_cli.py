"""The main job as a user sees it: run, run again, and everything that can be typed wrongly."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import short_jobs
from commands import keep_to_one_core

from bench.planning.estimates import Probe
from bench.study.store import Study


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of a teacher and one student, four ways, run through the command line."""
    root = tmp_path_factory.mktemp("main")
    matrix = root / "tiny.yaml"
    matrix.write_text(
        "teacher: unet-4-8-16\nstudents: [unet-2-4]\nimage_size: 16\nupdates: 80\nworkers: 2\n"
    )
    entry = Path(__file__).resolve().parent.parent.parent / "run_bench.py"
    command = [sys.executable, entry, "--matrix", matrix, "--results", root / "study"]
    done = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, preexec_fn=keep_to_one_core
    )
    assert done.returncode == 0, done.stderr
    return root / "study", matrix, done.stdout


def test_it_leaves_records_tables_and_figures(finished):
    root, _, out = finished
    assert "5 jobs, 0 done, 5 to run" in out
    assert "epoch 20/20" in out
    assert "left" in out
    assert "went to: decoding" in out
    networks = [
        f"profiling on cpu: memory of {name}, {k} of 2" for k, name in ((1, "unet-2-4"), (2, "unet-4-8-16"))
    ]
    assert all(out.count(line) == 1 for line in networks), "a line a network"
    frame = pd.read_csv(root / "summary.csv")
    assert sorted(frame.method) == ["at-kd", "baseline", "baseline", "combined", "pm-kd"]
    assert set(frame.status) == {"done"}
    needed = [
        *("dataset", "architecture", "method", "seed", "status", "dice", "dice_slice", "dice_val"),
        *("dice_val_last", "precision", "sensitivity", "parameters", "macs", "flops", "size_mb"),
        *("train_seconds", "latency_cpu_ms_p50", "latency_cpu_ms_p95", "latency_gpu_ms_p50"),
        *("peak_memory_train_mb", "peak_memory_inference_mb", "seg_loss", "variant", "image_size"),
        "train_patients",
    ]
    assert set(needed) <= set(frame.columns)
    full = frame[[c for c in needed if c not in ("latency_gpu_ms_p50", "variant")]]
    assert full.notna().all().all()
    assert (frame.flops == 2 * frame.macs).all()
    assert (frame.train_patients == 16).all()
    cases = pd.read_csv(root / "cases.csv")
    assert len(cases) == 5 * 20
    by_hand = cases.groupby(["id", "patient"]).dice.mean().groupby("id").mean()
    assert np.allclose(frame.set_index("id").dice, by_hand[frame.id])
    latency = pd.read_csv(root / "latency.csv")
    assert sorted(set(latency.side)) == [16, 256, 512]
    assert (latency.repeats >= 20).all()
    for record in Study(root).records():
        spent = record["cost"]["seconds"]
        assert {"decoding", "gate", "recording", "training", "validation", "evaluation"} == set(spent)
        trained = spent["training"] + spent["validation"]
        assert record["cost"]["train_seconds"] == pytest.approx(trained)
    for stem in ("tables/matrix.md", "tables/matrix.csv", "tables/matrix.tex"):
        assert "synthetic" in (root / stem).read_text() or stem.endswith("csv")
    for stem in ("dice_by_method", "dice_against_cost", "learning_curves", "cases"):
        for suffix in ("png", "pdf"):
            assert (root / "figures" / f"{stem}.{suffix}").stat().st_size > 5000
    ignored = (root / ".gitignore").read_text().split()
    assert "weights/" in ignored
    assert "predictions/" not in ignored, "synthetic cases may be committed"


def test_a_second_run_runs_nothing_and_says_so(finished, bench, no_figures):
    root, matrix, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (root / "records").iterdir()}
    result = bench("--matrix", matrix, "--results", root)
    assert result.code == 0
    assert "5 jobs, 5 done, 0 to run" in result.out
    assert "nothing to run" in result.out
    assert before == {path: path.stat().st_mtime_ns for path in (root / "records").iterdir()}


def test_records_hold_no_paths_and_no_host_name(finished):
    import socket

    root = finished[0]
    for path in [*(root / "records").iterdir(), root / "study.json", root / "profile.json"]:
        text = path.read_text()
        assert str(root) not in text
        assert socket.gethostname() not in text
        assert '"/' not in text


def test_dry_run_lists_and_writes_nothing(finished, bench, tmp_path):
    root, matrix, _ = finished
    listed = bench("--matrix", matrix, "--results", root, "--dry-run").out
    assert listed.count(" done") == 5
    fresh = bench("--matrix", matrix, "--results", tmp_path / "new", "--dry-run")
    assert fresh.out.count("to do") == 5
    assert not (tmp_path / "new").exists()


def test_a_dry_run_shows_the_ids_of_the_run_its_hours_bytes_and_memory(finished, bench, tmp_path):
    root, matrix, _ = finished
    first = bench("--matrix", matrix, "--results", tmp_path / "new", "--dry-run").out
    shown = {line.split()[0] for line in first.splitlines() if "to do" in line}
    assert shown == {path.stem for path in (root / "records").iterdir()}
    found = re.search(r"predicted time: about \S+ \S+ for 5 jobs, 2 at a time \((.*)\)", first)
    assert found
    assert "an estimate from a step of 2 of 2 networks" in found[1]
    assert re.search(r"predicted targets: \S+ .B; weights: \S+ kB; predictions: \S+ .B at most", first)
    assert re.search(r"predicted memory: \S+ .B for \S+, \S+ .B for all at a time", first)
    # Of another seed the study's records tell.
    again = bench("--matrix", matrix, "--results", root, "--seeds", "1", "--dry-run").out
    assert "for 5 jobs, 2 at a time (an estimate from the study's records)" in again
    assert "predicted" not in bench("--matrix", matrix, "--results", root, "--dry-run").out


def test_quick_leaves_a_clone_clean(bench, tmp_path, monkeypatch, short, brief_profile, no_figures):
    shutil.copyfile(short_jobs.SCRIPT.parents[1] / ".gitignore", tmp_path / ".gitignore")
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True, cwd=tmp_path)
    few = ("--image-size", 16, "--only", "*:pm-kd")  # a teacher, what it taught, its student
    for more in (["--dry-run"], []):
        assert bench("--matrix", "quick", "--precision", "fp32", *few, *more).code == 0
        status = ["git", "status", "--porcelain", "--untracked-files=all"]
        left = subprocess.run(status, check=True, cwd=tmp_path, capture_output=True, text=True).stdout
        assert left == "", more
    assert (tmp_path / "results" / "quick" / "index.html").is_file()


def test_another_seed_adds_jobs_and_only_narrows(finished, bench):
    root, matrix, _ = finished
    out = bench("--matrix", matrix, "--results", root, "--seeds", "0,1", "--dry-run").out
    assert out.count("to do") == 5
    out = bench("--matrix", matrix, "--results", root, "--only", "unet-2-4:*-kd", "--dry-run").out
    assert out.count(" seed 0  ") == 3
    assert "pm-kd" in out
    assert "unet-4-8-16:baseline" in out, "the teacher that they need"


def test_no_test_reads_no_test_case_and_says_validation(
    bench, tmp_path, tiny_matrix, monkeypatch, short, no_figures
):
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    root = tmp_path / "study"
    arguments = ("--matrix", tiny_matrix, "--results", root, "--only", "unet-2-4:baseline")
    assert bench(*arguments, "--no-test").code == 0
    [record] = Study(root).records()
    assert "test" not in record
    frame = pd.read_csv(root / "summary.csv")
    assert frame.dice.isna().all()
    assert frame.dice_val.notna().all()
    assert "**validation** scores" in (root / "tables" / "matrix.md").read_text()
    # Later, with a frozen protocol: the same network is scored, not trained again.
    weights = Study(root).path("weights", record["id"]).read_bytes()
    result = bench(*arguments)
    assert "1 to run" in result.out
    assert "train epoch" not in result.out
    [scored] = Study(root).records()
    assert scored["test"]["cases"] == 20
    assert scored["curves"] == record["curves"]
    assert Study(root).path("weights", record["id"]).read_bytes() == weights


def test_a_given_teacher_is_not_trained(finished, bench, tmp_path, refused, brief_profile, no_figures):
    root, matrix, _ = finished
    teacher = pd.read_csv(root / "summary.csv").query("architecture == 'unet-4-8-16'").id.item()
    weights = Study(root).path("weights", teacher)
    arguments = ("--matrix", matrix, "--results", tmp_path / "s", "--only", "unet-2-4:pm-kd")
    result = bench(*arguments, "--teacher", weights)
    assert result.code == 0
    assert "unet-4-8-16:baseline (given)" in result.out
    assert (result.out + result.err).count("nobody says which patients it saw") == 1
    frame = pd.read_csv(tmp_path / "s" / "summary.csv")
    given = frame[frame.architecture == "unet-4-8-16"].iloc[0]
    own = Study(root).record(teacher)
    assert given.dice == pytest.approx(own["test"]["dice"])
    assert np.isnan(given.train_seconds)
    wrong = Study(root).path("weights", frame[frame.architecture == "unet-2-4"].id.iloc[0])
    wrong = tmp_path / "s" / "weights" / wrong.name
    line = refused(*arguments, "--teacher", wrong)
    assert "with the weights of unet-4-8-16" in line
    line = refused(*arguments, "--teacher", matrix)
    assert "not a safetensors file" in line
    # Where it is known whom the teacher saw, folds are possible: they test the others.
    saw = tmp_path / "saw.txt"
    saw.write_text("phantom000\nphantom007\n")
    folds = ("--matrix", matrix, "--results", tmp_path / "f", "--teacher", weights, "--folds", 3)
    assert "with folds" in refused(*folds, "--dry-run")
    said = bench(*folds, "--teacher-saw", saw, "--dry-run")
    assert said.code == 0, said.err
    assert "--teacher-saw: 2 of the 2 patients are in dataset phantom" in said.out + said.err


@pytest.mark.slow
def test_a_failed_job_is_recorded_and_its_students_are_blocked(
    bench, tmp_path, tiny_matrix, jobs_only, short
):
    root = tmp_path / "study"
    assert bench("--matrix", tiny_matrix, "--results", root, "--only", "unet-4-8-16:*").code == 0
    study = Study(root)
    [teacher] = study.records()
    study.path("weights", teacher["id"]).unlink()
    study.path("records", teacher["id"]).unlink()
    # A folder where the weights should go: writing them fails.
    study.path("weights", teacher["id"]).mkdir()
    result = bench("--matrix", tiny_matrix, "--results", root)
    assert result.code == 1
    status = {r["job"]["method"] + r["job"]["architecture"]: r["status"] for r in study.records()}
    assert status == {
        "baselineunet-4-8-16": "failed",
        "baselineunet-2-4": "done",
        "pm-kdunet-2-4": "blocked",
        "at-kdunet-2-4": "blocked",
        "combinedunet-2-4": "blocked",
    }
    assert "a folder lies there" in (study.record(teacher["id"]) or {})["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--matrix", "nope"], "--matrix 'nope': no such matrix; known: "),
        (["--matrix", "quick", "--dataset", "moon"], "--dataset 'moon' is unknown; known: phantom"),
        (["--matrix", "quick", "--dataset", "liver-ct"], "--data must name its folder"),
        (["--matrix", "quick", "--image-size", "60"], "needs a multiple of 8, e.g. 56 or 64"),
        (["--matrix", "quick", "--image-size", "0"], "needs a multiple of 8, e.g. 8"),
        (["--matrix", "quick", "--seeds", "a"], "--seeds 'a'"),
        (["--matrix", "quick", "--seeds", "1,1"], "different whole numbers"),
        (["--matrix", "quick", "--only", "vnet:*"], "--only 'vnet:*': no job"),
        (["--matrix", "quick", "--only", "*:baseline,*:vkd"], "--only '*:vkd': no job"),
        (["--matrix", "quick", "--device", "tpu"], "--device must be one of"),
        (["--matrix", "quick", "--precision", "int8"], "--precision must be one of"),
        (["--matrix", "quick", "--splits", "/nowhere.json"], "not a splits file"),
        ([], "--matrix is missing"),
        (["report", "/nowhere"], "no study.json here"),
        (["job", "/nowhere", "abc"], "no job 'abc' is planned here"),
        (["job", "/nowhere", "../../etc"], "no job '../../etc' is planned here"),
        (
            ["--matrix", "quick", "--executor", "abacus"],
            "--executor 'abacus' is unknown; known: local, ray, slurm",
        ),
        (["--matrix", "quick", "--address", "auto"], "--address 'auto': is for --executor ray, not local"),
        (
            ["--matrix", "quick", "--slurm", "time=1"],
            "--slurm 'time=1': is for --executor slurm, not local",
        ),
    ],
)
def test_bad_options_are_one_line(arguments, message, refused, tmp_path):
    results = ["--results", tmp_path / "r"] if "--matrix" in arguments else []
    assert message in refused(*arguments, *results)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"students": ["vnet-3"]}, "unknown architecture 'vnet-3'; known: unet-64"),
        ({"teacher": "unet-"}, "unknown architecture 'unet-'"),
        ({"methods": ["magic"]}, "unknown method 'magic'; known: baseline"),
        ({"methods": ["pm-kd[heat=3]"]}, "unknown parameter 'heat'; it takes: variant"),
        ({"epochs": 3}, "unknown key 'epochs'; known: teacher, students"),
        ({"students": []}, "students"),
        ({"seg_loss": ["mse"]}, "seg_loss 'mse' is unknown; known: dice-bce, bce"),
        ({"seeds": [-1]}, "seeds must not be negative"),
        ({"seeds": ["x"]}, "seeds"),
        ({"teacher": None}, "teacher"),
        ({"dataset": "moon"}, "--dataset 'moon' is unknown"),
    ],
)
def test_a_bad_matrix_file_is_one_line(change, message, refused, tmp_path):
    content = {"teacher": "unet-4-8", "students": ["unet-2-4"], "image_size": 16} | change
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(content))
    assert message in refused("--matrix", path, "--results", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "", "\x00"])
def test_what_is_no_matrix_is_one_line(text, refused, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert str(path) in refused("--matrix", path)


def test_other_data_in_a_begun_study_is_refused(finished, refused, tmp_path):
    root, matrix, _ = finished
    folds = json.loads((root / "splits.json").read_text())
    folds[0]["train"], folds[0]["val"] = folds[0]["train"][4:], folds[0]["val"] + folds[0]["train"][:4]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(folds))
    line = refused("--matrix", matrix, "--results", root, "--splits", other)
    assert "was begun with split" in line
    begun = json.loads((root / "study.json").read_text())["precision"]  # bf16 where the processor has it
    other = {"fp32": "bf16", "bf16": "fp32"}[begun]
    line = refused("--matrix", matrix, "--results", root, "--precision", other)
    assert f"was begun with precision '{begun}'" in line


def test_a_study_without_compiling_stays_so(
    bench, refused, tmp_path, tiny_matrix, nothing_runs, monkeypatch
):
    monkeypatch.setattr("bench.planning.session.can_compile", lambda device: True)
    monkeypatch.setattr("bench.planning.chains.COMPILE_FROM_FLOPS", 0)
    for name, flags, compiled in (("with", [], True), ("without", ["--no-compile"], False)):
        root = tmp_path / name
        assert bench("--matrix", tiny_matrix, "--results", root, *flags).code == 0
        assert json.loads((root / "study.json").read_text())["compile"] is compiled
        assert {job.compiled for job in Study(root).jobs()} == {compiled}
    line = refused("--matrix", tiny_matrix, "--results", tmp_path / "with", "--no-compile")
    assert "was begun with compile True, now it is False" in line
    assert bench("--matrix", tiny_matrix, "--results", tmp_path / "without").code == 0


def test_a_verb_has_flags_of_its_own(bench):
    assert bench("--seeds", "x", "list").code == 0, "what is before it is for matrices"


def test_list_names_everything(bench):
    out = bench("list").out
    for name in ("unet-32-64", "at-kd", "temperature=4.0", "phantom", "liver-ct", "weak-recipe", "quick"):
        assert name in out


def test_a_done_teacher_without_weights_is_redone_only_where_a_student_needs_it(
    finished, bench, tmp_path, tiny_matrix
):
    root, matrix, _ = finished
    clone = tmp_path / "clone"
    shutil.copytree(root, clone, ignore=shutil.ignore_patterns("weights", "targets", "cache"))
    arguments = ("--matrix", matrix, "--results", clone, "--dry-run")
    assert bench(*arguments).out.count(" done") == 5
    student = next(r["id"] for r in Study(clone).records() if r["job"]["method"] == "pm-kd")
    Study(clone).path("records", student).unlink()
    listed = bench(*arguments).out
    assert [line.split()[1] for line in listed.splitlines() if " to do" in line] == [
        "unet-4-8-16:baseline",
        "unet-2-4:pm-kd",
    ]


def test_a_skipped_cell_is_in_the_summary_with_its_reason(bench, tmp_path, tiny_matrix, monkeypatch):
    monkeypatch.setattr(
        "bench.planning.chains.probe", lambda name, job: Probe(frozenset({("encoder", len(name))}))
    )
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)
    result = bench("--matrix", tiny_matrix, "--results", tmp_path / "s")
    assert "2 skipped" in result.out
    frame = pd.read_csv(tmp_path / "s" / "summary.csv")
    assert set(frame[frame.status == "skipped"].method) == {"at-kd", "combined"}
    assert frame.reason.str.contains("no tap of the same side").all()
