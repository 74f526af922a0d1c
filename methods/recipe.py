"""The grammar: ``at-kd > prune[ratio=0.5] > int8`` gives steps with their parameters set, and back.

``+`` joins losses of one training, ``>`` is time: first a training, then any number of changes of shape,
then at most one conversion. Blanks mean nothing outside of brackets.

A new step is a frozen dataclass that extends ``Method``, ``Reshape`` or ``Convert`` of ``methods/base.py``,
decorated with ``register``: in a file of its kind's folder that ``methods/__init__.py`` imports, or in a
user's own file (``--plugin``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_type_hints

from methods.base import KINDS, Method, Step
from methods.registry import METHODS
from methods.training.combined import Combined
from methods.training.sum import Sum


def names(kind: str = "train") -> list[str]:
    """The registered steps of a kind."""
    return [name for name, step in METHODS.items() if step.kind == kind]


def build(spec: str) -> Any:
    """One step: ``name``, ``name[parameter=value,...]``, or the sum of several that train.

    Raises:
        ValueError: unknown step or parameter, a value that can't be read or is out of range, or a sum that
            can't be.
    """
    parts = split(spec, "+")
    if len(parts) == 1:
        return _one(parts[0])
    order, given = list(METHODS), repr(spec.strip())
    found = sorted(
        (part for text in parts for part in _summands(_one(text))), key=lambda p: order.index(p.name)
    )
    for k, part in enumerate(found):
        if not isinstance(part, Method):
            raise ValueError(f"{given}: + joins losses of one training; {part.name} is a step of its own")
        if not part.needs_teacher:
            raise ValueError(f"{given}: {part.name} has no loss of its own; leave it out of the sum")
        if k and found[k - 1].name == part.name:
            raise ValueError(f"{given}: {part.name} is there twice")
    return Combined.of(tuple(found)) or Sum(tuple(found))


def steps(recipe: str) -> tuple[Any, ...]:
    """All steps of a recipe, in the order of time.

    Raises:
        ValueError: a step that can't be, or an order that can't.
    """
    found, given = tuple(build(part) for part in split(recipe, ">")), repr(recipe.strip())
    if found[0].kind != "train":
        name = found[0].name
        raise ValueError(f"{given}: {name} needs a trained network; e.g. 'baseline > {name}'")
    for before, step in itertools.pairwise(found):
        if step.kind == "train":
            raise ValueError(
                f"{given}: {step.name} trains, and {before.name} stands before it; a recipe trains first, "
                "and losses of one training are joined by +"
            )
        if KINDS.index(step.kind) < KINDS.index(before.kind):
            raise ValueError(
                f"{given}: {step.name} changes the network, which {before.name} has converted already; the "
                "order is train, reshape, convert"
            )
        if before.kind == step.kind == "convert":
            raise ValueError(f"{given}: {before.name} converts already; a recipe converts once")
    return found


def parameters(step: Step) -> dict[str, Any]:
    """All parameters of a step by name, defaults filled in; of a sum ``<part>.<name>``."""
    if isinstance(step, Sum):
        return {
            f"{part.name}.{key}": value for part in step.parts for key, value in parameters(part).items()
        }
    return {name: getattr(step, name) for name in _parameter_names(type(step))}


def text(step: Step) -> str:
    """A step as it is typed, without parameters that are the default: ``prune[ratio=0.25]``."""
    if isinstance(step, Sum):
        return "+".join(text(part) for part in step.parts)
    return step.name + unusual(step.name, parameters(step).items())


def unusual(name: str, values: Iterable[tuple[str, Any]]) -> str:
    """Of a step's parameters those that are not its defaults, as typed: ``[temperature=2]``.

    Empty where all are, and for a step that is not registered.
    """
    try:
        usual = parameters(build(name))
    except ValueError:
        return ""
    other = [f"{key}={value}" for key, value in sorted(values) if usual.get(key, ...) != value]
    return f"[{','.join(other)}]" if other else ""


def matches(pattern: str, recipe: Sequence[Step]) -> bool:
    """Whether a recipe is what ``--only`` names, step by step.

    ``*`` and ``?`` stand for letters of a name, a last ``*`` for one step or more. A step without brackets
    in the pattern stands for any parameters, brackets are taken as they are.
    """
    wanted = split(pattern, ">")
    if wanted[-1] == "*" and len(recipe) > len(wanted):
        recipe = recipe[: len(wanted)]
    return len(wanted) == len(recipe) and all(map(_matches, wanted, recipe))


def split(spec: str, at: str) -> list[str]:
    """Parts between ``at``, which means nothing in brackets."""
    return [part.strip() for part in re.split(rf"{re.escape(at)}(?![^\[\]]*\])", spec)]


def _matches(wanted: str, step: Step) -> bool:
    if "[" not in wanted:
        with contextlib.suppress(ValueError):
            wanted = build(wanted).name  # a sum in any order, or another name of it
        return fnmatch.fnmatchcase(step.name, wanted.replace(" ", ""))
    try:
        return bool(build(wanted) == step)
    except ValueError:
        literal = wanted.replace(" ", "").replace("[", "[[]")
        return fnmatch.fnmatchcase(text(step), literal)


def _summands(step: Any) -> tuple[Any, ...]:
    return step.parts if isinstance(step, Combined) else (step,)


def _one(spec: str) -> Any:
    match = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", spec)
    if not match or match[1].strip() not in METHODS:
        raise ValueError(f"unknown method {spec!r}; known: {', '.join(METHODS)}")
    name = match[1].strip()
    kind = METHODS[name]
    hints = get_type_hints(kind)
    known = {name: hints[name] for name in _parameter_names(kind)}
    values: dict[str, Any] = {}
    for assignment in filter(None, (match[2] or "").split(",")):
        key, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or key not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"method {name}: unknown parameter {key!r}; it takes: {allowed}")
        if key in values:
            raise ValueError(f"method {name}: parameter {key!r} is there twice")
        values[key] = _value(name, key, value, known[key])
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"method {name}: {error}") from None


def _parameter_names(kind: type[Step]) -> list[str]:
    """A step's own parameters, then those that all of its base share."""
    return [field.name for field in sorted(dataclasses.fields(kind), key=lambda field: bool(field.kw_only))]


def _value(method: str, key: str, text: str, hint: Any) -> Any:
    """The value of a parameter that is declared as text, truth value or number, perhaps ``| None``."""
    kinds = set(get_args(hint) or (hint,))
    if type(None) in kinds and text == "None":
        return None
    if str in kinds:
        return text
    if bool in kinds:
        if text not in ("True", "False"):
            raise ValueError(f"method {method}: {key} must be True or False, not {text!r}")
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"method {method}: {key} must be a number, not {text!r}")
    if int in kinds and float not in kinds:
        if number != int(number):
            raise ValueError(f"method {method}: {key} must be a whole number, not {text!r}")
        return int(number)
    return number
