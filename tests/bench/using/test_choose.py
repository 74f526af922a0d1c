"""``choose``: on records whose truth is known, and on this machine."""

import json
from dataclasses import replace

import finished_study
import numpy as np
import pytest

from bench import api
from bench.compute import quiet
from bench.study.store import Study
from methods.artefact import About, GraphArtefact
from methods.converting import Graph, open_graph, processor

TEACHER, SMALL, MIDDLE = "unet-64-128-256-512", "unet-32-64", "unet-32-64-128"


def converted(simulated, source, runtime, loss, ms):
    """A job of another runtime, whose Dice is lower by ``loss`` in every case."""
    recipe = f"{source.method} > {runtime}"
    job = replace(
        source, method=runtime, parameters=(), source=source.id, teachers=(), recipe=recipe
    )  # fmt: skip
    study = simulated.study
    record = json.loads(study.path("records", source.id).read_text())
    for part in ("val", "test"):
        rows = [{**row, "dice": row["dice"] - loss} for row in record[part]["rows"]]
        record[part] = {**record[part], "rows": rows, "dice": record[part]["dice"] - loss}
    graph = f"{source.architecture} {runtime} fp32"
    record |= {"id": job.id, "job": job.as_dict(), "curves": [], "best_epoch": None}
    record["shown"] = {"method": runtime, "rank": 8, "changed": "", "graph": graph, "recipe": recipe}
    record["artefact"] = {"runtime": runtime, "precision": "fp32"}
    study.plan(job)
    study.path("records", job.id).write_text(json.dumps(record))
    return job.id, {"graph": graph, "latency_ms": [ms] * 20, "peak_memory_mb": 5.0}


@pytest.fixture
def study(simulated):
    """A teacher and two students, plain and with a gain of 0.03 by ``combined``; one of them converted."""
    simulated.part = "test"
    simulated.fill(seeds=1, students=2, names=("baseline", "combined"))
    simulated.measure()
    jobs = {(job.architecture, job.method): job for job in simulated.study.jobs()}
    _, fast = converted(simulated, jobs[MIDDLE, "combined"], "openvino", 0.0002, 2.0)
    path = simulated.study.root / "profile.json"
    profile = json.loads(path.read_text())
    base = profile["entries"][0]
    ones = [entry | {"threads": 1} for entry in profile["entries"]]
    profile["entries"] += [*ones, base | fast | {"threads": 1}, base | fast | {"threads": 1, "side": 256}]
    profile["entries"][-1]["latency_ms"] = [9.0] * 20
    path.write_text(json.dumps(profile))
    return simulated.study


@pytest.fixture
def chosen(bench, study):
    """What the verb answers, as JSON."""

    def ask(*arguments):
        result = bench("choose", study.root, "--json", *arguments)
        return json.loads(result.out)

    return ask


def test_the_best_on_validation_is_named_with_its_test_score(bench, study, chosen):
    found = chosen()["answer"]
    records = api.records(study)
    best = records.sort_values("dice_val").iloc[-1]
    assert found["id"] == best.id
    assert found["dice_val"] == pytest.approx(best.dice_val)
    assert found["dice_test"] == pytest.approx(best.dice)
    assert api.choose(study)["answer"] == found, "the same from Python"
    text = bench("choose", study.root).out
    assert best.id in text
    assert "by which it was chosen" in text
    assert "not here, for weights are not kept" in text


def test_limits_leave_out(chosen):
    """By ms on one thread: 138.7 of the teacher, 34.1 and 15.9 of the students, 2 of the converted one."""
    fast = chosen("--max-ms", 10)
    assert fast["answer"]["name"] == f"{MIDDLE}:combined > openvino"
    assert fast["answer"]["ms"] == 2.0
    assert fast["runners_up"] == []
    assert {one["why"] for one in fast["left_out"]} == {
        "139 ms on 1 thread", "34.1 ms on 1 thread", "15.9 ms on 1 thread"
    }  # fmt: skip
    assert chosen("--max-ms", 16, "--runtime", "torch")["answer"]["name"] == f"{SMALL}:combined"
    assert chosen("--max-mb", 1)["answer"]["name"].startswith(SMALL)
    assert chosen("--max-memory-mb", 10)["answer"]["name"] == f"{MIDDLE}:combined > openvino"
    assert chosen("--side", 256, "--max-ms", 9)["answer"]["ms"] == 9.0
    assert chosen("--side", 256, "--max-ms", 8)["answer"] is None
    assert "not measured" in chosen("--side", 512, "--max-ms", 8)["left_out"][0]["why"]


def test_non_inferiority_to_the_teacher(chosen):
    """Truth: the middle one gains 0.03 over 0.79, the small one over 0.74; the teacher has 0.84."""
    all_ = {one["name"]: one["why"] for one in chosen("--within", 0.005)["left_out"]}
    assert set(all_) == {
        *(f"{name}:{method}" for name in (SMALL, MIDDLE) for method in ("baseline", "combined")),
        f"{MIDDLE}:combined > openvino",
    }
    assert "below the teacher" in all_[f"{SMALL}:baseline"]
    wide = {one["name"] for one in chosen("--within", 0.04)["left_out"]}
    assert f"{MIDDLE}:combined" not in wide
    assert f"{SMALL}:baseline" in wide


def test_it_says_when_the_data_cannot_tell(bench, study, chosen):
    """A conversion that loses 0.0002 in every case is worse; networks of the same truth are not."""
    best = chosen("--runtime", "torch", "--max-ms", 100)
    assert best["answer"]["name"] == f"{MIDDLE}:combined"
    verdicts = {one["name"]: one["verdict"] for one in best["runners_up"]}
    assert verdicts[f"{SMALL}:baseline"] == "worse"
    both = {one["name"]: one for one in chosen("--max-ms", 100)["runners_up"]}
    assert both[f"{MIDDLE}:combined > openvino"]["behind"] == pytest.approx(0.0002)
    assert both[f"{MIDDLE}:combined > openvino"]["verdict"] == "worse"
    path = next(iter(study.all("records")))
    for path in study.all("records"):
        record = json.loads(path.read_text())
        rng = np.random.default_rng(int(path.stem, 16) % 2**32)
        for row in record["val"]["rows"]:
            row["dice"] = float(np.clip(row["dice"] + rng.normal(scale=0.3), 0, 1))
        record["val"]["dice"] = float(np.mean([row["dice"] for row in record["val"]["rows"]]))
        path.write_text(json.dumps(record))
    assert any(one["verdict"] == "alike" for one in chosen()["runners_up"])
    assert "can't be told apart from it" in bench("choose", study.root).out


def test_it_says_that_times_are_of_a_busy_machine(bench, study, chosen):
    assert chosen()["doubts"] == []
    path = study.root / "profile.json"
    profile = json.loads(path.read_text())
    path.write_text(json.dumps({"entries": [entry | {"busy": True} for entry in profile["entries"]]}))
    for limit in (100, 0.001):
        assert "Others used the machine" in bench("choose", study.root, "--max-ms", limit).out


def test_few_patients_say_nothing(bench, simulated):
    simulated.patients = 5
    simulated.fill(seeds=1, students=1, names=("baseline",))
    assert "take it for a guess" in bench("choose", simulated.study.root).out


def test_an_easy_fold_alone_does_not_win(bench, simulated):
    """One of two networks has a fold alone, in which it is better than the other one is in any."""
    for fold in range(3):
        simulated.add(MIDDLE, "baseline", 0, fold=fold)
    simulated.add(SMALL, "baseline", 0, fold=2, effect=0.2)
    found = json.loads(bench("choose", simulated.study.root, "--json").out)
    assert found["answer"]["name"] == f"{MIDDLE}:baseline"
    assert [one["why"] for one in found["left_out"]] == ["only 1 of 3 folds done"]
    assert "1 candidate lacks folds that others have" in bench("choose", simulated.study.root).out


def test_nothing_keeps_to_the_limits(bench, study):
    result = bench("choose", study.root, "--max-ms", 0.001)
    assert result.code == 1
    assert "no network keeps to these limits" in result.out
    assert "ms on 1 thread" in result.out


def test_mistakes_are_one_line(refused, study, tmp_path):
    assert "--max-ms -1" in refused("choose", study.root, "--max-ms", -1)
    assert "--threads 0" in refused("choose", study.root, "--threads", 0)
    assert "no study.json" in refused("choose", tmp_path)
    assert "no weights" in refused("choose", study.root, "--here")


def test_without_a_teacher_within_is_refused(refused, simulated):
    simulated.fill(seeds=1, students=1, names=("baseline",))
    assert "no network of this study teaches" in refused("choose", simulated.study.root, "--within", 0.02)


def test_here_it_is_measured_again(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(quiet, "is_busy", lambda: True)
    monkeypatch.setattr(quiet, "WAIT_SECONDS", 0.0)
    study, job_id = finished_study.finish(tmp_path, finished_study.images())
    assert "was not measured" in bench("choose", study.root).out
    before = sorted(path.name for path in study.root.rglob("*"))
    result = bench("choose", study.root, "--here", "--json", "--max-memory-mb", 1e6)
    said = json.loads(result.out)
    found = said["answer"]
    assert "Others used the machine" in said["doubts"][-1]
    assert found["id"] == job_id
    assert 0 < found["ms"] < 1e5
    assert found["memory_mb"] is not None
    assert sorted(path.name for path in Study(study.root).root.rglob("*")) == before, "nothing is written"


def only_elsewhere(study, source):
    """A job in the study whose network is an INT8 graph for processors with other instructions."""
    job = replace(source, method="int8", recipe="baseline > int8", source=source.id)
    graph = f"{source.architecture} onnxruntime int8"
    facts = {"instruction_set": "AMX", "overflow_fix": False}
    about = About(source.architecture, step="int8")
    artefact = GraphArtefact(about, Graph("onnxruntime", "int8", {"model.onnx": b"x"}, facts), open_graph)
    study.plan(job)
    artefact.save(study.path("weights", job.id))
    record = study.record(source.id) | {"id": job.id, "job": job.as_dict()}
    record["shown"] = {"method": "int8", "rank": 8, "changed": "", "graph": graph, "recipe": job.recipe}
    record["artefact"] = {"runtime": "onnxruntime", "precision": "int8", "facts": facts}
    record["files"] = study.checksums(job.id)
    study.write_record(record)
    return job.id


@pytest.fixture
def half_able(tmp_path, monkeypatch):
    """A study with a network that this machine runs and one that it doesn't; and their ids."""
    study, job_id = finished_study.finish(tmp_path / "study", finished_study.images())
    monkeypatch.setattr(quiet, "is_busy", lambda: False)
    monkeypatch.setattr(processor, "saturates", lambda: True)
    return study, job_id, only_elsewhere(study, study.job(job_id))


def test_what_cannot_run_here_is_left_out(bench, half_able):
    study, able, unable = half_able
    found = json.loads(bench("choose", study.root, "--here", "--json").out)
    assert found["answer"]["id"] == able
    assert [one["id"] for one in found["left_out"]] == [unable]
    assert "sums would be cut off" in found["left_out"][0]["why"]
    odd = bench("choose", study.root, "--here", "--side", 251, "--runtime", "torch")
    assert odd.code == 1
    assert "takes sides that are multiples of 2, so not --side 251" in odd.out


def test_what_cannot_run_here_is_not_profiled(bench, half_able, brief_profile):
    study, _, _ = half_able
    said = bench("profile", study.root)
    assert said.code == 0
    assert said.err.count("is left out: this INT8 network was made for processors with AMX") == 1
    measured = study.root / "profile.json"
    before = measured.read_bytes()
    assert {entry["graph"] for entry in json.loads(before)["entries"]} == {"unet-4-8"}
    bench("profile", study.root)
    assert measured.read_bytes() == before, "nothing is left to measure here"


def test_what_cannot_run_here_predicts_nothing_and_says_so_once(refused, half_able, tmp_path):
    study, _, unable = half_able
    said = refused("predict", f"{study.root}:{unable}", tmp_path, "-o", tmp_path / "out")
    assert "sums would be cut off" in said
