"""The registered methods: one is known by its ``name`` once its class is decorated with ``register``."""

from __future__ import annotations

from typing import TypeVar

from methods.base import Method

METHODS: dict[str, type[Method]] = {}
"""In the order of tables and axes: the built-in ones, then those of plug-ins."""
Kind = TypeVar("Kind", bound=type[Method])


def register(kind: Kind) -> Kind:
    """Make a method known by its name: ``@register`` above ``@dataclass(frozen=True)``.

    Raises:
        ValueError: no name, or one that another method has.
    """
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not name or set(name) & set("[],+> \t\n:"):
        raise ValueError(f"{kind.__name__}: `name` must be a word without brackets, commas, + and >")
    other = METHODS.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"the method {name!r} is there already, in {other.__module__}; {kind.__module__} needs "
            "another name"
        )
    METHODS[name] = kind
    return kind
