"""The grammar of recipes: what is a recipe, what it is called, and what is refused."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import architectures
import methods
from methods import Distillation, Method, Outputs, Reshape
from methods.training.sum import Sum


@dataclass(frozen=True)
class Mse(Distillation):
    name: ClassVar[str] = "mse"
    label: ClassVar[str] = "MSE"
    weight: float = 0.5

    def targets(self, teacher, labels):
        return {"logits": teacher.logits}

    def loss(self, student, targets, labels):
        return {"mse": self.weight * (student.logits - targets["logits"]).pow(2).flatten(1).mean(1)}


@dataclass(frozen=True)
class Halve(Reshape):
    name: ClassVar[str] = "halve"
    ratio: float = 0.5


@pytest.fixture(autouse=True)
def more_steps(monkeypatch):
    for kind in (Mse, Halve):
        monkeypatch.setitem(methods.METHODS, kind.name, kind)


def texts(recipe):
    return [methods.text(step) for step in methods.steps(recipe)]


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("baseline", ["baseline"]),
        (" at-kd>torch [ precision = bf16 ] ", ["at-kd", "torch[precision=bf16]"]),
        ("baseline>halve[ratio=0.25]>halve>torch", ["baseline", "halve[ratio=0.25]", "halve", "torch"]),
        ("pm-kd+at-kd", ["combined"]),
        ("at-kd + pm-kd", ["combined"]),
        ("at-kd[weight=2]+pm-kd[temperature=2]", ["combined[at_weight=2.0,temperature=2.0]"]),
        ("mse+pm-kd", ["pm-kd+mse"]),
        ("mse[weight=2] + pm-kd[temperature=2]", ["pm-kd[temperature=2.0]+mse[weight=2.0]"]),
        ("mse+combined", ["pm-kd+at-kd+mse"]),
        ("pm-kd[temperature=4]", ["pm-kd"]),
    ],
)
def test_a_recipe_has_one_form(recipe, expected):
    assert texts(recipe) == expected
    assert methods.steps(" > ".join(expected)) == methods.steps(recipe), "which is a recipe itself"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("baseline+pm-kd", "baseline has no loss of its own; leave it out of the sum"),
        ("pm-kd+pm-kd[temperature=2]", "pm-kd is there twice"),
        ("combined+at-kd", "at-kd is there twice"),
        ("pm-kd+torch", "torch is a step of its own"),
        ("torch", "torch needs a trained network; e.g. 'baseline > torch'"),
        ("at-kd > baseline", "baseline trains, and at-kd stands before it"),
        ("at-kd > torch > halve", "the order is train, reshape, convert"),
        ("at-kd > torch > torch", "a recipe converts once"),
        ("at-kd > magic", "unknown method 'magic'"),
        ("at-kd >", "unknown method ''"),
        ("at-kd > torch[precision=int8]", "precision must be one of fp32, bf16, not 'int8'"),
        ("at-kd > torch[samples=3]", "unknown parameter 'samples'; it takes: precision"),
        ("pm-kd+at-kd[variant=paper]", "variant must be the same in both, not common and paper"),
        ("pm-kd[unlabelled_weight=2]+mse", "unlabelled_weight must be the same in every part"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_line(recipe, message):
    with pytest.raises(ValueError) as error:
        methods.steps(recipe)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("at-kd", {"at-kd", "at-kd[weight=2]"}),
        ("at-kd>*", {"at-kd > torch", "at-kd > halve", "at-kd > halve > torch[precision=bf16]"}),
        ("*", {*["at-kd", "at-kd[weight=2]", "at-kd > torch", "at-kd > halve", "combined"],
               "at-kd > halve > torch[precision=bf16]"}),
        ("at-kd > torch", {"at-kd > torch"}),
        ("*>torch", {"at-kd > torch"}),
        ("at-kd[weight=2]", {"at-kd[weight=2]"}),
        ("at-kd[weight=0.9]", {"at-kd"}),
        ("a*", {"at-kd", "at-kd[weight=2]"}),
        ("*>*>torch[precision=bf16]", {"at-kd > halve > torch[precision=bf16]"}),
        ("*>*>torch[precision=*]", {"at-kd > halve > torch[precision=bf16]"}),
        ("at-kd+pm-kd", {"combined"}),
        ("[ab]t-kd", set()),
    ],
)  # fmt: skip
def test_only_matches_step_by_step(pattern, matched):
    recipes = ["at-kd", "at-kd[weight=2]", "at-kd > torch", "at-kd > halve", "combined"]
    recipes += ["at-kd > halve > torch[precision=bf16]"]
    assert {recipe for recipe in recipes if methods.matches(pattern, methods.steps(recipe))} == matched


def test_a_sum_is_the_sum_of_its_parts():
    x, labels = torch.randn(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    teacher = Outputs(*architectures.build("unet-4-8").forward_intermediates(x))
    student = Outputs(*architectures.build("unet-2-4").forward_intermediates(x))
    both = methods.build("at-kd[weight=0.5]+mse[weight=2]")
    assert isinstance(both, Sum)
    assert both.needs_taps and both.needs_teacher
    assert (both.name, both.label) == ("at-kd+mse", "AT + MSE")
    parts = [methods.build("at-kd[weight=0.5]"), methods.build("mse[weight=2]")]
    kept = {name: value for part in parts for name, value in part.targets(teacher, labels).items()}
    assert both.targets(teacher, labels).keys() == kept.keys()
    terms = both.loss(student, kept, labels)
    for part in parts:
        for name, value in part.loss(student, kept, labels).items():
            assert torch.equal(terms.pop(name), value)
    assert not terms
    assert methods.parameters(both) == {
        "at-kd.variant": "common",
        "at-kd.weight": 0.5,
        "at-kd.unlabelled_weight": 1.0,
        "mse.weight": 2.0,
        "mse.unlabelled_weight": 1.0,
    }


def test_terms_of_one_name_are_told_apart():
    x, labels = torch.randn(2, 1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.uint8)
    teacher = Outputs(*architectures.build("unet-4-8").forward_intermediates(x))
    student = Outputs(*architectures.build("unet-2-4").forward_intermediates(x))
    both = methods.build("pm-kd+emkd")
    terms = both.loss(student, both.targets(teacher, labels), labels)
    alone = methods.build("emkd").loss(student, both.targets(teacher, labels), labels)
    assert set(terms) == {"pm", "emkd/pm", "im", "ra"}
    assert torch.equal(terms["emkd/pm"], alone["pm"])


@dataclass(frozen=True)
class Optional(Method):
    name: ClassVar[str] = "optional"
    centre: bool = False
    layer: str | None = None
    steps: int | None = None
    rate: float | None = 0.5


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("optional", Optional()),
        ("optional[centre=True,layer=deep,steps=3]", Optional(True, "deep", 3)),
        ("optional[centre=False,layer=None,rate=None]", Optional(rate=None)),
    ],
)
def test_parameters_may_be_truth_values_and_may_be_left_open(monkeypatch, spec, expected):
    monkeypatch.setitem(methods.METHODS, "optional", Optional)
    found = methods.build(spec)
    assert found == expected
    assert type(found.steps) in (int, type(None))
    assert methods.build(methods.text(found)) == found
    with pytest.raises(ValueError, match="centre must be True or False, not 'yes'"):
        methods.build("optional[centre=yes]")


def test_a_sum_with_combined_keeps_its_weight_on_images_without_labels():
    both = methods.build("combined[unlabelled_weight=0.5]+cwd[unlabelled_weight=0.5]")
    assert {part.unlabelled_weight for part in both.parts} == {0.5}
    with pytest.raises(ValueError, match=r"unlabelled_weight must be the same in every part"):
        methods.build("combined[unlabelled_weight=0.5]+cwd")


@dataclass(frozen=True)
class Widened(Mse):
    """Reads logits that its own adapter has doubled."""

    name: ClassVar[str] = "widened"

    def adapters(self, student_shapes, target_shapes):
        class Twice(torch.nn.Module):
            def forward(self, outputs):
                return 2 * outputs.logits, outputs.taps

        return Twice()

    def loss(self, student, targets, labels):
        return {"widened": student.logits.flatten(1).mean(1)}


def test_an_adapter_of_one_part_is_for_that_part_alone(monkeypatch):
    monkeypatch.setitem(methods.METHODS, "widened", Widened)
    both = methods.build("mse+widened")
    logits, labels = torch.ones(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)
    adapters = both.adapters({}, {})
    outputs = Outputs(*adapters(Outputs(logits, {})))
    assert torch.equal(outputs.logits, logits), "L_seg reads the network's own"
    terms = both.loss(outputs, {"logits": torch.zeros_like(logits)}, labels)
    assert terms["widened"].tolist() == [2.0, 2.0]
    assert terms["mse"].tolist() == [0.5, 0.5]
