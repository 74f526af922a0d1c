"""Jobs that are made from the networks of other jobs, as a user runs them."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import short_jobs
import torch
from samples import a_setting

import methods
from bench.commands import run_matrix
from bench.errors import UserError
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.running.job import complete
from bench.running.job_process import run_job
from bench.scoring import inference
from bench.study.predictions import read_predictions
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.job_parts import load_artefact
from methods.artefact import TorchArtefact

MATRIX = {
    "teacher": "unet-4-8", "students": ["unet-2-4"], "convert": ["torch"],
    "methods": ["baseline", "at-kd > torch[precision=bf16]"], "image_size": 16, "updates": 20, "workers": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    matrix, root = folder / "m.yaml", folder / "s"
    matrix.write_text(json.dumps(MATRIX))
    with pytest.MonkeyPatch.context() as patch:
        short_jobs.profile_briefly(patch.setattr, memory=True)
        short_jobs.report_without_figures(patch.setattr)
        assert run_matrix(Options(matrix=str(matrix), results=root, no_test=True)) == 0
    return Study(root), ("--matrix", matrix, "--results", root, "--no-test")


def summary(study):
    return pd.read_csv(study.root / "summary.csv").set_index(["architecture", "recipe"])


def test_each_step_has_its_record_on_the_same_weights(ran):
    study, _ = ran
    frame = summary(study)
    assert set(frame.status) == {"done"}
    assert len(frame) == 7
    assert set(frame[frame.source.notna()].runtime) == {"torch"}
    exact = frame.loc["unet-2-4", "at-kd > torch"]
    assert exact.dice_drop == 0.0, "the same weights, the same cases"
    assert (exact.source, exact.artefact_precision) == (frame.loc["unet-2-4", "at-kd"].id, "fp32")
    half = frame.loc["unet-2-4", "at-kd > torch[precision=bf16]"]
    assert half.artefact_precision == "bf16"
    assert half.size_mb < 0.8 * exact.size_mb
    assert half.dice_drop == pytest.approx(exact.dice_val - half.dice_val)
    costs = ("latency_cpu_1_ms_p50", "latency_cpu_ms_p50", "peak_memory_inference_mb")
    for column in (*costs, "macs", "parameters"):
        assert (frame[column] > 0).all(), column
    facts = study.record(half.id)["artefact"]
    assert (facts["runtime"], facts["precision"]) == ("torch", "bf16")
    assert 0 < facts["facts"]["largest_difference"] < 1
    assert 0 <= facts["facts"]["changed_pixels"] < 0.5
    table = pd.read_csv(study.root / "tables" / "compression.csv")
    assert set(table.recipe) == set(frame.index.get_level_values("recipe"))


def test_the_costs_of_a_shape_are_measured_once(ran, brief_profile):
    study, _ = ran
    entries = json.loads((study.root / "profile.json").read_text())["entries"]
    keys = [(e["graph"], e["side"], e["threads"], e["backend"], e["precision"]) for e in entries]
    assert len(keys) == len(set(keys))
    assert {(e["graph"], e["precision"]) for e in entries} == {
        ("unet-4-8", "fp32"), ("unet-2-4", "fp32"), ("unet-2-4 torch bf16", "bf16"),
    }  # fmt: skip
    assert {e["side"] for e in entries} == {16, *inference.SIDES}
    assert all(isinstance(e["busy"], bool) for e in entries)


def test_nothing_is_trained_again_and_a_lost_source_is(ran, bench, brief_profile, no_figures):
    study, call = ran
    assert "nothing to run" in bench(*call).out
    frame = summary(study)
    taught, made = frame.loc["unet-2-4", "at-kd"].id, frame.loc["unet-2-4", "at-kd > torch"].id
    weights = {name: study.path("weights", name) for name in frame.id}
    before = weights[taught].read_bytes(), study.record(made)["val"]
    stamp = weights[taught].stat().st_mtime_ns
    study.path("records", made).unlink()
    weights[made].unlink()
    assert bench(*call).code == 0
    assert weights[taught].stat().st_mtime_ns == stamp, "the source was not trained again"
    for path in weights.values():
        path.unlink()
    study.path("records", made).unlink()
    elsewhere = next(name for name in frame.id if study.job(name).architecture == "unet-4-8")
    records = {name: study.record(name) for name in (taught, elsewhere)}
    changed = {**records[elsewhere], "files": {"weights": "0" * 64}}
    study.write_record(changed)
    listed = bench(*call, "--dry-run").out
    assert f"{taught}  unet-2-4:at-kd 20 updates seed 0  to do again: its weights are not here" in listed
    assert listed.count("to do again") == 2, "the teacher of the source, too"
    told = bench(*call).out
    assert "3 to run, 2 of them again, for others need their weights" in told
    assert weights[taught].read_bytes() == before[0], "to the bit"
    assert study.record(made)["val"] == before[1]
    origin = records[taught]["provenance"]
    assert study.record(taught)["provenance"] == origin, "what came out the same is the same"
    assert "before" not in study.record(taught)
    (old,) = study.record(elsewhere)["before"]
    assert old["weights"] == "0" * 64 and old["dice"] == {"val": records[elsewhere]["val"]["dice"]}
    text = " ".join((study.root / "tables" / "matrix.md").read_text().split())
    assert "Made again, and otherwise than before: unet-4-8:baseline" in text


def test_a_network_made_again_keeps_the_masks_of_both_parts(ran):
    """Though it is made again by a command that leaves the test set unread."""
    study, _ = ran
    teacher = next(job.id for job in study.jobs() if job.architecture == "unet-4-8")
    assert run_job(study.root, teacher, Options()) == 0
    scored = study.record(teacher)
    cases = {row["case"] for part in ("val", "test") for row in scored[part]["rows"]}
    assert set(read_predictions(study, teacher)) == cases
    study.path("weights", teacher).unlink()
    assert run_job(study.root, teacher, Options(no_test=True)) == 0
    assert study.record(teacher)["test"] == scored["test"]
    assert set(read_predictions(study, teacher)) == cases


OPTIONS = Options(epochs=1, steps_at_most=2, no_test=True)


@pytest.fixture
def chain(tmp_path, small_phantom):
    """A trained network and a job that is to be made from it."""
    study = Study(tmp_path / "study")
    session = SimpleNamespace(study=study, device=torch.device("cpu"), prepared_for=lambda _: small_phantom)
    matrix = {"teacher": "unet-4-8", "students": ["unet-2-4"], "methods": ["baseline > torch"]}
    setting = a_setting(dataset="phantom", image_size=16, can_compile=False, train_cases=64)
    jobs = [cell.job for cell in cells(parse_matrix(matrix, "m"), setting, "unet-2-4")]
    for job in jobs:
        study.plan(job)
    complete(session, jobs[0], OPTIONS, Reporter())
    return study, jobs[1], lambda: complete(session, jobs[1], OPTIONS, Reporter())


def put(study, job, artefact):
    """Other weights in a job's place."""
    artefact.save(study.path("weights", job.id))
    record = study.record(job.id)
    study.write_record({**record, "files": {**record["files"], **study.checksums(job.id)}})


def test_fp32_that_is_not_torchs_fails_and_says_by_how_much(chain, monkeypatch):
    study, _, run = chain
    convert = methods.METHODS["torch"].convert

    def wrong(self, module, about, material):
        made = convert(self, module, about, material)
        made.module.head.bias.data += 1e-3
        return made

    monkeypatch.setattr("methods.converting.torch_precision.Torch.convert", wrong)
    with pytest.raises(UserError, match=r"differ from torch's by 0\.001 on calibration images; in fp32"):
        run()
    assert not list(study.root.glob("records/*.json"))[1:]


def test_the_files_of_a_chain_open_on_their_own(chain):
    study, job, run = chain
    record = run()
    artefact = load_artefact(study, job)
    assert artefact.about.architecture == "unet-2-4"
    assert artefact.about.parameters == record["cost"]["parameters"]
    assert artefact.about.data["mean"] == list(record["dataset"]["mean"])
    assert artefact.about.classes == tuple(record["dataset"]["classes"])


def test_files_of_earlier_versions_are_converted_too(chain):
    study, job, run = chain
    source = study.job(job.source)
    put(study, source, TorchArtefact(load_artefact(study, source).module))
    run()
    assert load_artefact(study, job).about.data["mean"]


def test_a_network_that_predicts_nothing_is_noticed(chain):
    study, job, run = chain
    source = study.job(job.source)
    artefact = load_artefact(study, source)
    artefact.module.head.bias.data.fill_(-1e3)
    put(study, source, artefact)
    assert run()["predicts"] == "nothing"
