"""The grammar: ``pm-kd[temperature=2]`` gives a method with its parameters set, and back.

A new method is a frozen dataclass that extends ``methods.base.Method``, decorated with ``register``: in a
file of ``methods/training/`` that ``methods/__init__.py`` imports, or in a user's own file (``--plugin``).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from typing import Any, get_type_hints

from methods.base import Method
from methods.registry import METHODS


def names() -> list[str]:
    """The registered methods."""
    return list(METHODS)


def build(spec: str) -> Method:
    """``name`` or ``name[parameter=value,...]`` to a method.

    Raises:
        ValueError: unknown method or parameter, a value that can't be read or is out of range.
    """
    match = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", spec.strip())
    if not match or match[1] not in METHODS:
        raise ValueError(f"unknown method {spec!r}; known: {', '.join(METHODS)}")
    kind = METHODS[match[1]]
    hints = get_type_hints(kind)
    known = {name: hints[name] for name in _parameter_names(kind)}
    values: dict[str, Any] = {}
    for assignment in filter(None, (match[2] or "").split(",")):
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or key not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"method {match[1]}: unknown parameter {key!r}; it takes: {allowed}")
        if key in values:
            raise ValueError(f"method {match[1]}: parameter {key!r} is there twice")
        values[key] = _value(match[1], key, text, known[key])
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"method {match[1]}: {error}") from None


def parameters(method: Method) -> dict[str, Any]:
    """All parameters of a method by name, defaults filled in."""
    return {name: getattr(method, name) for name in _parameter_names(type(method))}


def _parameter_names(kind: type[Method]) -> list[str]:
    """A method's own parameters, then those that all methods of its kind share."""
    return [field.name for field in sorted(dataclasses.fields(kind), key=lambda field: bool(field.kw_only))]


def unusual(name: str, values: Iterable[tuple[str, Any]]) -> str:
    """Of a method's parameters those that are not its defaults, as typed: ``[temperature=2]``.

    Empty where all are, and for a method that is not registered.
    """
    if name not in METHODS:
        return ""
    usual = parameters(METHODS[name]())
    other = [f"{key}={value}" for key, value in sorted(values) if usual.get(key, ...) != value]
    return f"[{','.join(other)}]" if other else ""


def _value(method: str, key: str, text: str, kind: Any) -> Any:
    if kind is str:
        return text
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"method {method}: {key} must be a number, not {text!r}")
    if kind is int:
        if number != int(number):
            raise ValueError(f"method {method}: {key} must be a whole number, not {text!r}")
        return int(number)
    return number
