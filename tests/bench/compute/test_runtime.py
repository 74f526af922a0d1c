"""Compiling is never a failure: what can't be compiled runs uncompiled, and the record says so."""

import shutil
from dataclasses import replace

import pytest
import torch
from commands import missing
from torch import nn

import architectures
import methods
from bench.compute.compiling import (
    COMPILE_BATCHNORM_FROM_FLOPS,
    COMPILE_ON_GPU_FROM_FLOPS,
    can_compile,
    worth_compiling,
)
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.loop import train
from bench.training.step import Task

CPU = torch.device("cpu")


class WithMemory(nn.Module):
    """Batch statistics and dropout: a broken first step would leave its mark on both."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
        )

    def forward(self, x):
        return self.layers(x)


class BackwardFails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise OSError("no space left in the cache")


def fails_forward(function, **options):
    def compiled(*arguments):
        function(*arguments)
        raise OSError("no space left in the cache")

    return compiled


def fails_backward(function, **options):
    return lambda *arguments: {k: BackwardFails.apply(v) for k, v in function(*arguments).items()}


def wrong_gradients(function, **options):
    return lambda *arguments: {k: v.detach() + 0 * v for k, v in function(*arguments).items()}


def trained(stream, compiled, reasons):
    torch.manual_seed(1)
    task = Task(WithMemory(), methods.build("baseline"), stream, Runtime(CPU, "fp32", 1, compiled))
    reporter = Reporter()
    done = train(task, lambda model: 0.5, reporter)
    reasons += [reporter.uncompiled] if reporter.uncompiled else []
    return done.model.state_dict()


@pytest.mark.parametrize("broken", [fails_forward, fails_backward])
def test_a_compiler_that_fails_leaves_the_result_of_an_uncompiled_run(small_phantom, monkeypatch, broken):
    stream, reasons = SampleStream(small_phantom, 0, epochs=1, updates=80), []
    expected = trained(stream, False, reasons)
    assert reasons == []
    monkeypatch.setattr(torch, "compile", broken)
    found = trained(stream, True, reasons)
    assert reasons == ["torch.compile failed (OSError: no space left in the cache)"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_compiler_that_computes_wrong_gradients_is_found_out(small_phantom, monkeypatch):
    stream, reasons = SampleStream(small_phantom, 0, epochs=1, updates=80), []
    expected = trained(stream, False, reasons)
    monkeypatch.setattr(torch, "compile", wrong_gradients)
    found = trained(stream, True, reasons)
    (reason,) = reasons
    assert reason.startswith(
        "torch.compile computes wrong gradients: that of 0.layers.0.weight has norm 0,"
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_compiler_that_works_leaves_batch_statistics_as_one_step_does(small_phantom, monkeypatch):
    stream, reasons = SampleStream(small_phantom, 0, epochs=1, updates=80), []
    expected = trained(stream, False, reasons)
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    found = trained(stream, True, reasons)
    assert reasons == []
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_mistake_in_the_network_is_not_taken_for_the_compilers(small_phantom, monkeypatch):
    monkeypatch.setattr(torch, "compile", fails_forward)
    monkeypatch.setattr(WithMemory, "forward", lambda self, x: x.reshape(7))
    with pytest.raises(RuntimeError, match="shape '\\[7\\]' is invalid"):
        trained(SampleStream(small_phantom, 0, epochs=1, updates=80), True, [])


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A study with one job that is planned as compiled; returns what ``job`` takes."""
    monkeypatch.setattr("bench.planning.session.can_compile", lambda device: True)
    monkeypatch.setattr("bench.planning.chains.COMPILE_FROM_FLOPS", 0)
    session = open_session(tmp_path / "study", Options(dataset="phantom", device="cpu", precision="fp32"))
    session.begin()
    content = {"teacher": "unet-2-4", "students": ["unet-2"], "image_size": 16, "updates": 80}
    job = next(cells(parse_matrix(content, "x"), session.setting(16))).job
    assert job.compiled
    session.study.plan(job)
    return session.study.root, job.id


def runs_uncompiled(bench, planned, reason):
    result = bench("job", *planned, "--no-test")
    assert result.code == 0
    assert "Traceback" not in result.err
    lines = [line for line in result.out.splitlines() if "this job runs uncompiled" in line]
    assert len(lines) == 1
    assert reason in lines[0]
    record = Study(planned[0]).record(planned[1])
    assert record["status"] == "done"
    assert record["job"]["compiled"] is True
    assert record["provenance"]["compiled"] is False


def test_without_a_compiler_a_job_runs_uncompiled_and_says_so(bench, planned, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not can_compile(CPU)
    runs_uncompiled(bench, planned, "no C++ compiler here")


def test_with_an_unwritable_cache_a_job_runs_uncompiled_and_says_so(bench, planned, monkeypatch, tmp_path):
    if not shutil.which("g++"):
        missing("there is no compiler to find")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    runs_uncompiled(bench, planned, "torch.compile failed (")


def test_a_network_that_compiling_would_not_make_faster_is_not_compiled(bench, planned, monkeypatch):
    def compiled(function, **options):
        raise AssertionError("was compiled")

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr("bench.compute.compiling.has_batch_statistics", lambda model: True)
    runs_uncompiled(bench, planned, "compiling would take longer than it saves")


BF16, FP32 = (Runtime(CPU, precision, 1, compiled=True) for precision in ("bf16", "fp32"))


def test_batch_statistics_need_more_work_to_be_worth_compiling():
    few, many = COMPILE_BATCHNORM_FROM_FLOPS / 2, COMPILE_BATCHNORM_FROM_FLOPS * 2
    u_net, dmfnet = architectures.build("unet-32-64"), architectures.build("dmfnet")
    assert worth_compiling(u_net, few, BF16)
    assert not worth_compiling(dmfnet, few, BF16)
    assert worth_compiling(dmfnet, many, BF16)


@pytest.mark.parametrize(
    ("name", "dims", "runtime", "worth"),
    [
        ("unet-32-64", 2, BF16, True),
        ("unet-16-32", 2, BF16, False),
        ("unet-16-32", 2, FP32, True),
        ("unet-16-32", 3, BF16, True),
    ],
)
def test_narrow_blocks_are_not_worth_compiling_in_channels_last(name, dims, runtime, worth):
    assert worth_compiling(architectures.build(name, dims), 1e15, runtime) == worth


@pytest.mark.parametrize("name", ["dmfnet", "unet-16-32", "unet-32-64"])
def test_on_a_gpu_only_long_training_is_worth_compiling(name):
    gpu = replace(BF16, device=torch.device("cuda"))
    assert not worth_compiling(architectures.build(name), COMPILE_ON_GPU_FROM_FLOPS / 2, gpu)
    assert worth_compiling(architectures.build(name), COMPILE_ON_GPU_FROM_FLOPS * 2, gpu)
