"""Registry of methods: ``pm-kd[temperature=2]`` gives a method with its parameters set.

A new method is one file with a frozen dataclass that extends ``methods.base.Method``, and one line
in ``METHODS``. The package imports nothing from the harness and can be used alone.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any, get_type_hints

from methods.at_kd import AtKd
from methods.base import Method, Outputs, tap_name
from methods.baseline import Baseline
from methods.combined import Combined
from methods.pm_kd import PmKd

METHODS: dict[str, type[Method]] = {method.name: method for method in (Baseline, PmKd, AtKd, Combined)}

__all__ = ["METHODS", "Method", "Outputs", "build", "names", "parameters", "tap_name"]


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
    known = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
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
    return dataclasses.asdict(method)


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
