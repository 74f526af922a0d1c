"""Studies on a GPU, as a user runs them; skipped where there is none."""

from dataclasses import replace

import pandas
import pytest
import torch
from commands import Command, same_results

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.study.profile import read_profile
from bench.study.store import Study
from bench.training.loop import train
from bench.training.step import Targets, Task
from bench.training.targets import live, unpacked

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
GPU = Runtime(torch.device("cuda"), "fp32", 2, compiled=True)
MATRIX = """
teacher: unet-4-8-16
students: [unet-2-4]
methods: [baseline, combined]
image_size: 16
updates: 80
"""


def fitted(runtime, small_phantom, method="combined"):
    """The losses of a student that was taught for 4 epochs."""
    torch.manual_seed(0)
    teacher, student = architectures.build("unet-4-8-16"), architectures.build("unet-4-8")
    stream, how = SampleStream(small_phantom, 0, epochs=4, updates=40), methods.build(method)
    targets = Targets(unpacked(live(teacher, [how], stream, runtime)), ahead=False)
    result = train(Task(student, how, stream, runtime, targets=targets), lambda _: 0.5)
    return [row["loss"] for row in result.curves]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_as_on_a_processor_compiled_or_not(precision, small_phantom):
    expected = fitted(Runtime(torch.device("cpu"), "fp32", 2, compiled=False), small_phantom)
    assert expected[-1] < expected[0]
    for compiled in (False, True):
        losses = fitted(replace(GPU, precision=precision, compiled=compiled), small_phantom)
        assert losses == pytest.approx(expected, rel=0.05)  # convolutions are in TF32, or bf16


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """The same matrix run twice, each in one go."""
    folder = tmp_path_factory.mktemp("cuda")
    (folder / "m.yaml").write_text(MATRIX)
    roots = [folder / name for name in ("one", "two")]
    for root in roots:
        arguments = ("--matrix", folder / "m.yaml", "--results", root, "--precision", "fp32")
        with Command(arguments, root.with_suffix(".log")) as command:
            command.ends()
    return roots


def test_a_study_takes_the_gpu_and_says_so(studies):
    study = Study(studies[0])
    assert study.settings()["device"] == "cuda"
    for record in study.records():
        assert record["status"] == "done"
        assert record["provenance"]["machine"]["gpu"] == torch.cuda.get_device_name()
        assert record["cost"]["peak_memory_train_mb"] > 0


def test_networks_are_timed_on_the_processor_and_on_the_gpu(studies):
    entries = read_profile(Study(studies[0]))
    for device in ("cpu", "cuda"):
        own = [entry for entry in entries if entry["device"] == device]
        assert {entry["graph"] for entry in own} == {"unet-4-8-16", "unet-2-4"}
        assert all(min(entry["latency_ms"]) > 0 for entry in own)
    latency = pandas.read_csv(studies[0] / "latency.csv")
    assert torch.cuda.get_device_name() in set(latency.processor)
    matrix = pandas.read_csv(studies[0] / "tables" / "matrix.csv")
    assert any("GPU" in name for name in matrix.columns), list(matrix.columns)


def test_the_same_study_again_has_the_same_bits(studies):
    same_results(*studies)
