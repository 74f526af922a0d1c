"""What every registered method must keep, and two toys that use the parts those do not need."""

import struct
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from samples import a_setting
from torch import nn

import architectures
import methods
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.planning.options import Options
from bench.running.job import complete
from bench.scoring.profiling import graph_of
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.job_parts import load_artefact
from methods import Convert, Graph, Method, Outputs

CPU = torch.device("cpu")


@dataclass(frozen=True)
class AdaptedFeatures(Method):
    """A toy with a trained adapter: the student's deepest feature, projected to the teacher's width."""

    name: ClassVar[str] = "toy-adapter"
    needs_taps: ClassVar[bool] = True

    def targets(self, teacher, labels):
        return {"feature/encoder/2": teacher.taps["encoder", 2].float()}

    def adapters(self, student_shapes, target_shapes):
        return Project(student_shapes["encoder/2"][1], target_shapes["feature/encoder/2"][1])

    def loss(self, student, targets, labels):
        difference = student.taps["encoder", 2] - targets["feature/encoder/2"]
        return {"feature": 0.1 * difference.pow(2).flatten(1).mean(dim=1)}


class Project(nn.Module):
    built: ClassVar[list["Project"]] = []

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.start = self.conv.weight.detach().clone()
        Project.built.append(self)

    def forward(self, outputs):
        logits, taps = outputs
        return logits, {**taps, ("encoder", 2): self.conv(taps["encoder", 2])}


@dataclass(frozen=True)
class Replaced(Convert):
    """A toy that puts another network in the student's place, fitted on calibration images."""

    name: ClassVar[str] = "toy-convert"

    def convert(self, module, about, material):
        at = torch.cat([image.flatten() for image in material.images(1000)]).quantile(0.75)
        graph = Graph("toy", "one number", {"threshold": struct.pack("<f", at.item())}, {"said": "so"})
        return self.keep(replace(about, parameters=1), graph)

    @classmethod
    def open(cls, graph, threads):
        return Threshold(struct.unpack("<f", graph.parts["threshold"])[0])


class Threshold:
    def __init__(self, at):
        self.at = at

    def predict(self, x):
        return x[:, :1] - self.at

    def set_threads(self, threads):
        self.threads = threads


TOYS = {"toy-adapter": AdaptedFeatures, "toy-convert": Replaced}


@pytest.fixture
def toys(monkeypatch):
    for name, kind in TOYS.items():
        monkeypatch.setitem(methods.METHODS, name, kind)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study"))


OPTIONS = Options(epochs=2, no_test=True)
NEEDS = {"pseudo-label": {"labels": 2, "unlabelled": "maps"}}
ONE_CLASS = [name for name in methods.names() if not methods.build(name).supports(2, 1)]


def run(study, prepared, spec):
    """Run teacher and student with ``spec`` for two epochs; the student's job and record."""
    session = SimpleNamespace(study=study, device=CPU, prepared_for=lambda _: prepared)
    setting = a_setting(dataset="phantom", image_size=16, can_compile=False, train_cases=64)
    recipe = spec if methods.METHODS[spec].kind == "train" else f"baseline > {spec}"
    content = {"teacher": "unet-4-8-16", "students": ["unet-2-4"], "methods": [recipe], "updates": 80}
    content |= NEEDS.get(spec, {})
    matrix = parse_matrix(content, "toy")
    for cell in cells(matrix, setting):
        assert not cell.reason
        study.plan(cell.job)
        record = study.record(cell.job.id) or complete(session, cell.job, OPTIONS, Reporter())
    return cell.job, record


ALL = [*ONE_CLASS, *TOYS]


@pytest.mark.parametrize("name", ALL)
def test_a_job_with_it_trains_scores_and_comes_back_from_its_file(name, toys, study, small_phantom):
    job, record = run(study, small_phantom, name)
    assert record["status"] == "done"
    trains = methods.METHODS[name].kind == "train"
    assert len(record["curves"]) == (2 if trains else 0)
    assert 0 <= record["val"]["dice"] <= 1
    assert "test" not in record
    always = {"epoch", "learning_rate", "seg", "loss", "dice_val", "seconds"}
    terms = set((record["curves"] or [{}])[0]) - always
    expected = {"pm-kd": {"pm"}, "at-kd": {"at"}, "combined": {"pm", "at"}, "toy-adapter": {"feature"}}
    expected |= {"emkd": {"pm", "im", "ra"}, "pseudo-label": {"pseudo"}}
    assert terms == expected[name] if name in expected else bool(terms) == methods.build(name).needs_teacher
    before = study.path("weights", job.id).stat().st_mtime_ns
    session = SimpleNamespace(study=study, device=CPU, prepared_for=lambda _: small_phantom)
    again = complete(session, job, OPTIONS, Reporter())
    assert study.path("weights", job.id).stat().st_mtime_ns == before, "it was scored, not trained, again"
    assert again["val"] == record["val"]


def test_the_adapter_is_trained_and_thrown_away(toys, study, small_phantom):
    job, _ = run(study, small_phantom, "toy-adapter")
    if not Project.built:
        study.path("records", job.id).unlink()
        study.path("weights", job.id).unlink()
        job, _ = run(study, small_phantom, "toy-adapter")
    adapter = Project.built[-1]
    assert not torch.equal(adapter.conv.weight, adapter.start)
    plain = architectures.build("unet-2-4").state_dict()
    from safetensors.torch import load_file

    assert set(load_file(study.path("weights", job.id))) == set(plain)


def test_what_a_conversion_makes_is_what_is_scored_and_measured(toys, study, small_phantom):
    job, record = run(study, small_phantom, "toy-convert")
    assert job.source == study.trained(job).id
    assert record["cost"]["parameters"] == 1
    assert record["artefact"]["runtime"] == "toy"
    assert record["artefact"]["facts"]["said"] == "so"
    assert record["artefact"]["facts"]["calibration"]["images"] == 64
    patients = small_phantom.sample_patients
    assert record["artefact"]["facts"]["calibration"]["patients"] == sorted(set(patients))
    artefact = load_artefact(study, job)
    assert record["shown"]["graph"] == graph_of(job, artefact.about) == "unet-2-4 toy one number"
    mean = small_phantom.train_images.quantile(0.75).item()
    x = small_phantom.val.images
    assert torch.allclose(artefact.predict(x), x - mean, atol=1e-6)
    assert artefact.module is None


@pytest.mark.parametrize("architecture", architectures.names())
def test_every_method_moves_every_registered_network(architecture):
    torch.manual_seed(0)
    x, labels = torch.randn(2, 1, 32, 32), torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 8:24, 8:24] = 1
    with torch.no_grad():
        teacher = Outputs(*architectures.build("unet-4-8-16-32").forward_intermediates(x))
    model = architectures.build(architecture)
    student = Outputs(*model.forward_intermediates(x))
    for name in ONE_CLASS:
        method = methods.build(name)
        for term in method.loss(student, method.targets(teacher, labels), labels).values():
            model.zero_grad()
            term.mean().backward(retain_graph=True)
            assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
