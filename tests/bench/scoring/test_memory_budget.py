"""What fits into a memory budget is chosen once."""

import json

import pytest

from bench.planning.session import open_session
from bench.scoring import memory_budget
from bench.study.store import Study


@pytest.fixture
def asked(tmp_path, tiny_matrix):
    return ("--matrix", tiny_matrix, "--results", tmp_path / "study", "--only", "unet-2-4:baseline")


def needs(megabytes_a_sample, base=300.0):
    """Stands in for measuring: memory grows with the samples, and the teacher takes more of it."""
    return lambda root, options, job: base + job.micro_batch * megabytes_a_sample * len(job.architecture)


def test_what_fits_is_chosen_once_and_kept(asked, tmp_path, bench, refused, monkeypatch, jobs_only, short):
    monkeypatch.setattr(
        memory_budget, "measure", needs(20)
    )  # 8 letters: 460 MB, 620, 940, then 1580: not tried
    result = bench(*asked, "--memory-gb", 1, "--no-test")
    assert result.code == 0, result.err
    assert "4 of 16 samples at a time in this study" in result.out
    settings = json.loads((tmp_path / "study" / "study.json").read_text())
    assert settings["micro_batch"] == 4
    assert settings["memory_gb"] == 1
    assert settings["memory_probe_mb"] == {"1": 460, "2": 620, "4": 940}
    [record] = Study(tmp_path / "study").records()
    assert record["status"] == "done"
    assert record["job"]["micro_batch"] == 4
    assert record["cost"]["peak_memory_train_mb"] > 0
    monkeypatch.setattr(memory_budget, "measure", lambda *_: pytest.fail("measured again"))
    assert "1 done, 0 to run" in bench(*asked, "--memory-gb", 1, "--no-test").out
    assert "1 done, 0 to run" in bench(*asked, "--no-test").out
    assert "begun with memory_gb 1.0, now it is 2.0" in refused(*asked, "--memory-gb", 2)
    assert "begun with micro_batch 4, now it is 8" in refused(*asked, "--micro-batch", 8)
    assert "begun with checkpointing None" in refused(*asked, "--checkpointing")


def test_what_can_not_fit_is_one_line_and_leaves_nothing(asked, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(memory_budget, "measure", needs(20))
    line = refused(*asked, "--memory-gb", 0.4)
    assert "unet-2-4 needs 0.46 GB for one sample at a time; try --checkpointing" in line
    assert not (tmp_path / "study").exists()


def test_the_heaviest_method_of_each_network_is_measured(tmp_path, tiny_matrix, bench, monkeypatch):
    seen = []

    def measured(root, options, job):
        seen.append((job.architecture, job.method, job.teachers))
        return 9e9 if job.micro_batch > 1 else 1.0

    monkeypatch.setattr(memory_budget, "measure", measured)
    monkeypatch.setattr("bench.commands.local.run", lambda *_: 0)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    bench("--matrix", tiny_matrix, "--results", tmp_path / "s", "--memory-gb", 1)
    assert seen[:2] == [("unet-4-8-16", "baseline", ()), ("unet-2-4", "at-kd", ("unet-4-8-16",))]


def test_a_probe_is_a_real_step(asked, tmp_path, bench, monkeypatch):
    """What is measured runs, here in this process: gate, teacher, update, validation."""
    steps = []

    def measured(root, options, job):
        memory_budget.first_steps(open_session(root, options), job)
        steps.append(job.micro_batch)
        return 100.0 * job.micro_batch

    monkeypatch.setattr(memory_budget, "measure", measured)
    monkeypatch.setattr("bench.commands.local.run", lambda *_: 0)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    only = ("--only", "unet-2-4:combined", "--workers", 2)
    bench(*asked[:4], *only, "--memory-gb", 0.5, "--checkpointing")
    assert steps == [1, 1, 2, 2, 4, 4]
    settings = json.loads((tmp_path / "study" / "study.json").read_text())
    assert (settings["micro_batch"], settings["checkpointing"]) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--micro-batch", "3"], "--micro-batch 3: must divide the batch of 16"),
        (["--micro-batch", "0"], "--micro-batch 0: must divide"),
        (["--micro-batch", "4", "--memory-gb", "2"], "give one"),
        (["--memory-gb", "-1"], "--memory-gb -1: must be positive"),
    ],
)
def test_bad_options_are_one_line(asked, refused, arguments, message, tmp_path):
    assert message in refused(*asked, *arguments)
    assert not (tmp_path / "study").exists()


def test_a_micro_batch_is_in_the_record_and_the_table(asked, tmp_path, bench, jobs_only, short):
    assert bench(*asked, "--micro-batch", 8, "--no-test").code == 0
    from bench.report import frames

    frame = frames.summary(Study(tmp_path / "study"))
    assert frame.micro_batch.tolist() == [8]
