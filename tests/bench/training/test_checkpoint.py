"""A job that was stopped and started again ends as one that was never stopped, bit for bit."""

import functools
import itertools
import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch
from devices import DEVICES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import blank_job
from torch import nn

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.study.reporter import Reporter
from bench.training.checkpoint import DIGEST_BYTES, Checkpoint
from bench.training.loop import train
from bench.training.step import Targets, Task
from methods import Method

EPOCHS = 4


class Noisy(nn.Module):
    """Batch statistics, dropout, and chance from Python and numpy: all that a resume could lose."""

    def __init__(self, plain=False):
        super().__init__()
        self.plain = plain
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1)
        )

    def forward(self, x):
        if self.plain or not self.training:
            return self.layers(x)
        return self.layers(x * (1 + 0.1 * np.random.rand() + 0.1 * random.random()))


@dataclass(frozen=True)
class Adapted(Method):
    """A toy with an adapter of chance, trained with the student."""

    name: ClassVar[str] = "adapted"
    needs_taps: ClassVar[bool] = True

    def adapters(self, student_shapes, target_shapes):
        return Adapter(student_shapes["encoder/2"][1], target_shapes["feature"][1])

    def loss(self, student, targets, labels):
        return {"feature": (student.taps["encoder", 2] - targets["feature"]).pow(2).flatten(1).mean(dim=1)}


class Adapter(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.Dropout(0.5))

    def forward(self, outputs):
        logits, taps = outputs
        return logits, {**taps, ("encoder", 2): self.layers(taps["encoder", 2])}


def feature(epoch, batch):
    generator = torch.Generator().manual_seed(100 * epoch + batch)
    return {"feature": torch.rand(16, 3, 8, 8, generator=generator)}


KINDS = {
    "chance": (Noisy, "fp32", False, methods.build("baseline"), None),
    "adapters": (
        functools.partial(architectures.build, "unet-2-4"),
        "fp32",
        False,
        Adapted(),
        Targets(feature),
    ),
    "bf16": (
        functools.partial(architectures.build, "unet-4-8"),
        "bf16",
        False,
        Adapted(),
        Targets(feature),
    ),
    "compiled": (functools.partial(Noisy, plain=True), "fp32", True, methods.build("baseline"), None),
}


class Stopped(Exception):
    """Where a kill would be."""


def run(kind, stream, checkpoint=None, saved_stop=None, unsaved_stop=None, device="cpu"):
    """Train; with a stop after an epoch is saved, or before it is."""
    build, precision, compiled, method, targets = KINDS[kind]
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    model = build()
    epoch = iter(range(100))

    def validate(model):
        if next(epoch) == unsaved_stop:
            raise Stopped
        return float(sum(p.detach().double().abs().sum() for p in model.parameters())) % 0.01

    class Stopping(Reporter):
        def epoch(self, phase, row):
            if row["epoch"] == saved_stop:
                raise Stopped

    runtime = Runtime(torch.device(device), precision, 1, compiled)
    task = Task(model, method, stream, runtime, targets=targets)
    done = train(task, validate, Stopping(), checkpoint)
    curves = [{k: v for k, v in row.items() if k != "seconds"} for row in done.curves]
    chance = torch.rand(3).tolist(), np.random.rand(), random.random()
    return done, (curves, done.best_epoch, chance)


EVERY = blank_job(seed=3, updates=80)
FEW = blank_job(seed=3, labels=4, unlabelled="maps", teachers=("t",), updates=80)
"""A job that knows the labels of four patients, and a teacher's maps of the others."""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("kind", "labels"), [*((kind, "all") for kind in KINDS), ("adapters", "few")], ids=str
)
def test_a_job_stopped_thrice_ends_as_one_never_stopped(
    kind, labels, device, small_phantom, tmp_path, monkeypatch
):
    # Traced and differentiated by the compiler, its code not generated: that would take a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    stream = SampleStream.of(FEW if labels == "few" else EVERY, small_phantom, EPOCHS)
    whole, expected = run(kind, stream, device=device)
    checkpoint = Checkpoint(tmp_path / "c" / "x.checkpoint", {"job": "x", "protocol": 1})
    # After epoch 1; in epoch 3, before it is saved; after the last.
    for stop in ({"saved_stop": 1}, {"unsaved_stop": 1}, {"saved_stop": EPOCHS}):
        with pytest.raises(Stopped):
            run(kind, stream, checkpoint, device=device, **stop)
    done, found = run(kind, stream, checkpoint, device=device)
    assert found == expected
    assert done.resumed_after == [1, 2, EPOCHS]
    weights, again = whole.model.state_dict(), done.model.state_dict()
    assert {name: value.stride() for name, value in weights.items()} == {
        name: value.stride() for name, value in again.items()
    }
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert done.seconds >= done.seconds_before > 0
    assert [p.name for p in checkpoint.path.parent.iterdir()] == ["x.checkpoint"]


def test_compiling_is_judged_by_the_first_step_also_later(small_phantom, tmp_path, monkeypatch):
    stream = SampleStream(small_phantom, 3, EPOCHS, updates=80)
    first, _ = stream.batch(0, 0)

    def compile(function, **options):
        calls = itertools.count()

        def compiled(x, *others):
            wrong = next(calls) == 0 and not torch.equal(x, first)
            return {name: (1e3 if wrong else 1) * term for name, term in function(x, *others).items()}

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    expected = run("compiled", stream)[1]
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", {"job": "x"})
    with pytest.raises(Stopped):
        run("compiled", stream, checkpoint, saved_stop=2)
    done, found = run("compiled", stream, checkpoint)
    assert done.eager == ""
    assert found == expected


def test_what_ran_uncompiled_goes_on_so(small_phantom, tmp_path, monkeypatch):
    def fails(function, **options):
        raise OSError("no compiler")

    stream = SampleStream(small_phantom, 3, EPOCHS, updates=80)
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", {"job": "x"})
    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(Stopped):
        run("compiled", stream, checkpoint, saved_stop=2)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("it was tried again"))
    done, found = run("compiled", stream, checkpoint)
    assert done.eager == "torch.compile failed (OSError: no compiler)"
    monkeypatch.undo()
    monkeypatch.setattr(torch, "compile", fails)
    assert run("compiled", stream)[1] == found


@pytest.fixture(scope="module")
def saved(small_phantom, tmp_path_factory):
    """A checkpoint after the second epoch."""
    path = tmp_path_factory.mktemp("saved") / "x.checkpoint"
    with pytest.raises(Stopped):
        run(
            "chance",
            SampleStream(small_phantom, 0, EPOCHS, updates=80),
            Checkpoint(path, {"job": "x"}),
            saved_stop=2,
        )
    return path.read_bytes()


def test_it_is_safetensors_and_a_checksum(saved):
    tensors = safetensors.torch.load(saved[:-DIGEST_BYTES])
    assert {"model/layers.0.weight", "best/layers.1.running_var", "optimiser/0/exp_avg"} < set(tensors)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_one_is_named_set_aside_and_not_read(saved, small_phantom, tmp_path, capfd, data):
    where = data.draw(st.integers(0, len(saved) - 1))
    content = bytearray(saved)
    if data.draw(st.booleans()):
        content[where] ^= data.draw(st.integers(1, 255))
    else:
        content = content[:where]
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", {"job": "x"})
    checkpoint.path.write_bytes(content)
    state = functools.partial(pytest.fail, "it was read")
    assert checkpoint.read(state) is None
    assert not checkpoint.path.exists()
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{checkpoint.path}: damaged, its checksum is wrong; set aside as x.checkpoint.")
    for path in tmp_path.glob("x.checkpoint.corrupt*"):
        path.unlink()


@pytest.mark.parametrize(
    ("owner", "kind", "why"),
    [
        ({"job": "y"}, "chance", "of another job, or of another version"),
        ({"job": "x"}, "bf16", "its model is not that of this job"),
    ],
)
def test_one_that_does_not_fit_is_set_aside_and_training_starts_over(
    saved, owner, kind, why, small_phantom, tmp_path, capfd
):
    stream = SampleStream(small_phantom, 0, EPOCHS, updates=80)
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", owner)
    checkpoint.path.write_bytes(saved)
    (tmp_path / "x.checkpoint.corrupt").write_text("an earlier one")
    done, found = run(kind, stream, checkpoint)
    assert found == run(kind, stream)[1]
    assert done.resumed_after == []
    assert why in capfd.readouterr().err
    assert (tmp_path / "x.checkpoint.corrupt2").read_bytes() == saved
    assert (tmp_path / "x.checkpoint.corrupt").read_text() == "an earlier one"
