"""What every registered step and network must keep, asked of one and answered in words.

The tests hold what is built in to it, ``check-plugin`` what a user's file brings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

import architectures
import methods
from bench.data.stream import SampleStream
from bench.errors import brief
from bench.training.can_learn import CannotLearn, check_can_learn
from bench.training.conformance_of_changes import on_converting, on_reshaping
from methods import Method, Outputs, Step, outputs_of

TEACHER, STUDENT = "unet-4-8", "unet-2-4-8"
SIDE = 8


def faults_of_method(name: str) -> list[str]:
    """What a registered step does otherwise than it must, a sentence each; empty where all is well."""
    kind = methods.METHODS[name]
    try:
        method = kind()
    except Exception as error:
        return [f"can't be made without parameters ({brief(error)}); every parameter needs a default"]
    found = list(_form(kind, method))
    on_data: Any = {"train": _on_data, "reshape": on_reshaping, "convert": on_converting}[method.kind]
    if missing := method.missing():
        return [*found, missing]
    for dims in (2, 3):
        for channels in (1, 3):
            if method.supports(dims, channels):
                continue
            where = f"in {dims}-D with {channels} channel{'s' if channels > 1 else ''}: "
            try:
                found += [where + fault for fault in on_data(method, dims, channels)]
            except Exception as error:
                found.append(f"{where}{brief(error)}")
    return list(dict.fromkeys(found))


def _form(kind: type[Step], method: Step) -> Iterator[str]:
    if "__dataclass_params__" not in vars(kind):  # else it has those of its base, and none of its own
        yield "must be decorated with @dataclass(frozen=True): its parameters are part of a job's id"
    known = methods.parameters(method)
    for key, value in known.items():
        if not isinstance(value, (str, int, float, type(None))):
            yield f"parameter {key} is {type(value).__name__}; must be text or a number"
    given = ",".join(f"{key}={value}" for key, value in known.items() if value is not None)
    if (back := methods.build(f"{method.name}[{given}]")) != method:
        yield f"its parameters as typed, {given}, are read as {methods.parameters(back)}"


def _on_data(method: Method, dims: int, channels: int) -> Iterator[str]:
    """Its targets and its terms on small networks and noise."""
    torch.manual_seed(0)  # what is found of a method is found of it each time
    x = torch.randn(2, 1, *[SIDE] * dims)
    teacher, student = (architectures.build(n, dims, out_channels=channels) for n in (TEACHER, STUDENT))
    taught, learned = (outputs_of(model, x, method.needs_taps) for model in (teacher, student))
    mixed = (x[:, :1] > torch.arange(max(1, channels - 1)).view(-1, *[1] * dims)).sum(dim=1).byte()
    for labels in (torch.zeros_like(mixed), torch.ones_like(mixed), mixed):
        kept = {key: value.detach() for key, value in method.targets(taught, labels).items()}
        if bool(kept) != method.needs_teacher:
            said = method.needs_teacher
            yield f"targets keeps {sorted(kept) or 'nothing'} though needs_teacher is {said}"
        yield from _targets(kept)
        yield from _decisions(method, kept, labels)
        terms = method.loss(learned, kept, labels)
        yield from _terms(terms)
        if not all(method.refuses(in_parts=True, unlabelled=some) for some in (True, False)):
            yield from _by_sample(method, learned, kept, labels, terms)
        yield from _gradients(terms, student, needed=labels is mixed)


def _targets(kept: dict[str, Tensor]) -> Iterator[str]:
    for name, value in kept.items():
        if value.ndim < 1 or len(value) != 2:
            yield f"target {name} has shape {tuple(value.shape)}; its first axis must be the batch"
        elif value.dtype != torch.float32:
            yield f"target {name} is {value.dtype}; must be float32"
        elif not value.isfinite().all():
            yield f"target {name} holds NaN or infinite values"


def _decisions(method: Method, kept: dict[str, Tensor], labels: Tensor) -> Iterator[str]:
    decided = method.decisions(kept)
    if decided is not None and (decided.shape != labels.shape or decided.dtype != labels.dtype):
        what = f"{tuple(decided.shape)} {decided.dtype}"
        yield f"decisions are {what}; must be class indices {tuple(labels.shape)} torch.uint8"


def _terms(terms: dict[str, Tensor]) -> Iterator[str]:
    for name, value in terms.items():
        if value.shape != (2,):
            yield f"term {name} has shape {tuple(value.shape)}; must be one value a sample, (N,)"
        elif not value.isfinite().all():
            yield f"term {name} is NaN or infinite where a mask is empty or full"
        elif (value < 0).any():
            yield f"term {name} is negative"


def _by_sample(
    method: Method, learned: Outputs, kept: dict[str, Tensor], labels: Tensor, terms: dict[str, Tensor]
) -> Iterator[str]:
    """Parts of a batch are computed alone where memory is short: a sample must not see another."""
    rows = slice(0, 1)
    alone = method.loss(
        Outputs(learned.logits[rows], {tap: value[rows] for tap, value in learned.taps.items()}),
        {name: value[rows] for name, value in kept.items()},
        labels[rows],
    )
    for name, value in terms.items():
        if value.shape == (2,) and not torch.allclose(alone[name], value[rows], rtol=1e-4, atol=1e-6):
            yield f"term {name} of a sample changes with the other samples of its batch"


def _gradients(terms: dict[str, Tensor], student: nn.Module, needed: bool) -> Iterator[str]:
    """``needed``: on these labels every term must have something to learn."""
    for name, value in terms.items():
        student.zero_grad()
        if value.requires_grad:
            value.sum().backward(retain_graph=True)
        grads = [p.grad for p in student.parameters() if p.grad is not None]
        if needed and not any(grad.abs().max() > 0 for grad in grads):
            yield f"term {name} gives the student no gradient"
        if not all(grad.isfinite().all() for grad in grads):
            yield f"term {name} gives the student a gradient of NaN or infinity"


def faults_of_network(name: str) -> list[str]:
    """What a registered network does otherwise than it must, a sentence each; empty where all is well."""
    found: list[str] = []
    stride = architectures.stride(name)
    seen = 0
    for dims in (2, 3):
        side = stride * max(2, -(-16 // stride))
        if architectures.supports(name, dims, (side,) * dims):
            continue
        seen += 1
        try:
            found += [f"in {dims}-D: {fault}" for fault in _network(name, dims, side)]
        except Exception as error:
            found.append(
                f"in {dims}-D with a side of {side}: {brief(error)}; if it can't be, let `supports` say so"
            )
    return found if seen else ["supports neither 2-D nor 3-D"]


def _network(name: str, dims: int, side: int) -> Iterator[str]:
    for channels in (1, 3):
        torch.manual_seed(0)
        model = architectures.build(name, dims, out_channels=channels)
        torch.manual_seed(0)
        again = architectures.build(name, dims, out_channels=channels).state_dict()
        if any(not torch.equal(value, again[key]) for key, value in model.state_dict().items()):
            yield "the same seed gives other weights; take them from torch's generator"
        x = torch.randn(2, 1, *[side] * dims, generator=torch.Generator().manual_seed(1))
        y = (x[:, 0] > 0).to(torch.uint8)
        stream = cast(SampleStream, SimpleNamespace(batch=lambda *_, x=x, y=y: (x, y)))
        try:
            check_can_learn(model, stream, channels, "dice-bce", torch.device("cpu"))
        except CannotLearn as error:
            yield str(error)
            return
        if hasattr(model, "forward_intermediates"):
            yield from _taps(copy.deepcopy(model).eval(), x)


def _taps(model: Any, x: Tensor) -> Iterator[str]:
    with torch.no_grad():
        logits, taps = model.forward_intermediates(x)
        if not torch.allclose(logits, model(x), atol=1e-5):
            yield "forward_intermediates gives other logits than forward"
    for tap, feature in taps.items():
        if not (isinstance(tap, tuple) and len(tap) == 2 and isinstance(tap[1], int)):
            yield f"tap {tap!r} must be (side, stride), e.g. ('encoder', 2)"
        elif tuple(feature.shape[2:]) != tuple(side // tap[1] for side in x.shape[2:]):
            sides = "x".join(map(str, feature.shape[2:]))
            yield f"tap {tap!r} has {sides} positions for {'x'.join(map(str, x.shape[2:]))}: another stride"
