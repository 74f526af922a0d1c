"""The registered steps: one is known by its ``name`` once its class is decorated with ``register``."""

from __future__ import annotations

from typing import TypeVar

from methods.base import KINDS, Step

METHODS: dict[str, type[Step]] = {}
"""Steps of every kind in the order of tables, axes and sums: the built-in ones, then those of plug-ins."""
Kind = TypeVar("Kind", bound=type[Step])


def register(kind: Kind) -> Kind:
    """Make a step known by its name: ``@register`` above ``@dataclass(frozen=True)``.

    Raises:
        ValueError: no name, one that another step has, or a class that is no step.
    """
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name or set(name) & set("[],+> \t\n:"):
        raise ValueError(f"{kind.__name__}: `name` must be a word without brackets, commas, + and >")
    if getattr(kind, "kind", None) not in KINDS:
        raise ValueError(f"{kind.__name__}: must extend methods.Method, methods.Reshape or methods.Convert")
    other = METHODS.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"the method {name!r} is there already, in {other.__module__}; {kind.__module__} needs "
            "another name"
        )
    METHODS[name] = kind
    return kind
