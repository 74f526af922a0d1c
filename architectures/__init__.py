"""Registry of networks: a name and four numbers give a module that returns logits.

Every network is an ``nn.Module`` with these methods, the second only where a method needs it:

``forward(x)``
    ``(N, in_channels, *spatial)`` to logits ``(N, out_channels, *spatial)``; no activation inside.
``forward_intermediates(x)``
    ``(logits, {tap: feature})`` with one feature ``(N, C, *spatial / stride)`` after every block.
    A tap is ``(side, stride)``, e.g. ``("encoder", 2)``: taps of two networks match where the keys do.
    ``tapped`` gives it to a network that was not made for this.

A third, ``initialise()``, draws weights that don't keep torch's default: pruned shapes get theirs from it.

A new network is registered by ``register``, in a user's own file (``--plugin``) or in one here. A family of
many names is a module with ``NAMES``, ``understands(name)``, ``stride(name)`` and ``build(name, ...)`` in
``FAMILIES``. The package imports nothing from the harness and can be used alone.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from architectures.registry import FAMILIES, register
from architectures.shapes import Shape, reshape
from architectures.taps import Tap, tapped

__all__ = ["FAMILIES", "Shape", "Tap", "build", "names", "register", "stride", "supports", "tapped"]


def names() -> list[str]:
    """The registered networks; families understand more names than these (any ``unet-<widths>``)."""
    return [name for family in FAMILIES for name in family.NAMES]


def build(
    name: str,
    spatial_dims: int = 2,
    in_channels: int = 1,
    out_channels: int = 1,
    shape: Shape | None = None,
) -> nn.Module:
    """Build a network by name with freshly initialised weights (from torch's global generator).

    ``shape``, as pruning gives it, says which parts have other widths than the name's.

    Raises:
        ValueError: unknown name, a configuration that the family can't build, another network's shape.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, not {spatial_dims}")
    model: nn.Module = _family(name).build(name, spatial_dims, in_channels, out_channels)
    return reshape(model, shape or {})


def stride(name: str) -> int:
    """The factor by which every side of the input must be divisible.

    Raises:
        ValueError: unknown name.
    """
    return int(_family(name).stride(name))


def supports(name: str, spatial_dims: int, sides: tuple[int, ...]) -> str:
    """Why the network can't take inputs of ``sides``, as it says itself; empty where it can, or is silent.

    Raises:
        ValueError: unknown name.
    """
    reason = getattr(_family(name), "supports", None)
    return str(reason(name, spatial_dims, sides) or "") if reason is not None else ""


def _family(name: str) -> Any:
    for family in FAMILIES:
        if family.understands(name):
            return family
    known = ", ".join(names())
    raise ValueError(
        f"unknown architecture {name!r}; known: {known}, or any unet-<widths>, or one of a --plugin"
    )
