"""Properties of every distillation loss, whatever the tensors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import methods
from methods import Outputs

DISTILLING = [name for name in methods.names() if name not in ("baseline", "pseudo-label")]
"""Pseudo labels are hard: a student that equals its teacher goes on learning from them."""
SPECS = [
    spec
    for name in DISTILLING
    for spec in (
        [f"{name}[variant={variant}]" for variant in methods.METHODS[name].variants]
        if "variant" in methods.parameters(methods.build(name))
        else [name]
    )
]
TAPS = (("encoder", 1), ("encoder", 2), ("decoder", 1))


def outputs(seed, channels, dims, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    side = 4

    def tensor(c, s):
        x = scale * torch.randn(2, c, *[s] * dims, generator=generator)
        return x.requires_grad_()

    return Outputs(tensor(channels, side), {tap: tensor(3, side // tap[1]) for tap in TAPS})


def labels_for(kind, dims):
    return {
        "empty": torch.zeros(2, *[4] * dims, dtype=torch.uint8),
        "full": torch.ones(2, *[4] * dims, dtype=torch.uint8),
    }[kind]


def total(method, student, teacher, labels):
    kept = {k: v.detach() for k, v in method.targets(teacher, labels).items()}
    terms = method.loss(student, kept, labels)
    assert terms
    assert all(value.shape == (len(labels),) for value in terms.values())
    return sum(value.mean() for value in terms.values())


def all_tensors(o):
    return [o.logits, *o.taps.values()]


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    channels=st.integers(1, 3),
    dims=st.sampled_from([2, 3]),
    scale=st.sampled_from([0.0, 1e-4, 1.0, 50.0]),
    kind=st.sampled_from(["empty", "full"]),
)
def test_never_negative_never_nan(spec, seed, channels, dims, scale, kind):
    method = methods.build(spec)
    student, teacher = outputs(seed, channels, dims, scale), outputs(seed + 1, channels, dims)
    value = total(method, student, teacher, labels_for(kind, dims))
    assert value >= 0
    value.backward()
    for tensor in all_tensors(student):
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()
    assert all(tensor.grad is None for tensor in all_tensors(teacher)), "gradient to the teacher"
    assert any(t.grad is not None for t in all_tensors(student))


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), channels=st.integers(1, 3), dims=st.sampled_from([2, 3]))
def test_zero_and_flat_where_student_equals_teacher(spec, seed, channels, dims):
    method = methods.build(spec)
    student = outputs(seed, channels, dims)
    teacher = Outputs(student.logits.detach(), {k: v.detach() for k, v in student.taps.items()})
    value = total(method, student, teacher, labels_for("empty", dims))
    near = 1e-3 if spec.startswith("dist") else 1e-6  # a correlation divides by norms, which may be small
    assert value.item() == pytest.approx(0, abs=near)
    value.backward()
    for tensor in all_tensors(student):
        assert tensor.grad is None or tensor.grad.abs().max() < near


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_features(spec, constant):
    method = methods.build(spec)
    student, teacher = outputs(0, 1, 2), outputs(1, 1, 2)
    with torch.no_grad():
        for tensor in (*all_tensors(student), *all_tensors(teacher)):
            tensor.fill_(constant)
    value = total(method, student, teacher, labels_for("full", 2))
    value.backward()
    # Pearson's correlation is undefined there, and nought in the public code.
    undefined = 1.0 if spec == "dist[variant=official]" else 0.0
    assert value.item() == pytest.approx(undefined, abs=1e-3 if undefined else 1e-6)
    assert all(t.grad is None or torch.isfinite(t.grad).all() for t in all_tensors(student))


def test_combined_is_the_sum_of_its_parts():
    student, teacher = outputs(2, 1, 2), outputs(3, 1, 2)
    labels = labels_for("empty", 2)
    both = total(methods.build("combined"), student, teacher, labels)
    parts = [total(methods.build(name), student, teacher, labels) for name in ("pm-kd", "at-kd")]
    assert both == sum(parts)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "unknown method 'nothing'; known: baseline, pm-kd"),
        (
            "pm-kd[temp=2]",
            "unknown parameter 'temp'; it takes: variant, temperature, weight, unlabelled_weight",
        ),
        ("pm-kd[temperature=0]", "temperature must be positive"),
        ("pm-kd[temperature=warm]", "temperature must be a number, not 'warm'"),
        ("at-kd[weight=-1]", "weight must not be negative"),
        ("combined[variant=mine]", "variant must be one of common, official, paper"),
        ("cwd[variant=paper]", "variant must be one of common, official, mmrazor"),
        ("cwd[temperature=0]", "temperature must be positive"),
        ("dist[weight=-1]", "weight must not be negative"),
        ("dist[variant=official,unlabelled_weight=2]", "is one value a batch; unlabelled_weight must be 1"),
        ("dkd[beta=-1]", "beta must not be negative"),
        ("emkd[weight=-1]", "weight must not be negative"),
        ("pseudo-label[weight=2]", "it takes: unlabelled_weight"),
        ("baseline[x=1]", "it takes: none"),
    ],
)
def test_bad_specs_are_refused(spec, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        methods.build(spec)


def test_parameters_round_trip():
    method = methods.build("combined[temperature=2,pm_weight=0.5]")
    assert methods.parameters(method) == {
        "variant": "common",
        "temperature": 2.0,
        "pm_weight": 0.5,
        "at_weight": 0.9,
        "unlabelled_weight": 1.0,
    }
