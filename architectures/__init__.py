"""Registry of networks: a name and four numbers give a module that returns logits.

Every network is an ``nn.Module`` with two methods:

``forward(x)``
    ``(N, in_channels, *spatial)`` to logits ``(N, out_channels, *spatial)``; no activation inside.
``forward_intermediates(x)``
    ``(logits, {tap: feature})`` with one feature ``(N, C, *spatial / stride)`` after every block.
    A tap is ``(side, stride)``, e.g. ``("encoder", 2)``: taps of two networks match where the keys do.

A new family is one file with ``NAMES``, ``understands(name)``, ``stride(name)`` and ``build(name, ...)``,
and one line in ``FAMILIES``. The package imports nothing from the harness and can be used alone.
"""

from __future__ import annotations

from torch import nn

from architectures import dmfnet, unet

Tap = tuple[str, int]

FAMILIES = (unet, dmfnet)
"""Modules that build networks; the first that understands a name builds it."""


def names() -> list[str]:
    """The registered networks; families understand more names than these (any ``unet-<widths>``)."""
    return [name for family in FAMILIES for name in family.NAMES]


def build(name: str, spatial_dims: int = 2, in_channels: int = 1, out_channels: int = 1) -> nn.Module:
    """Build a network by name with freshly initialised weights (from torch's global generator).

    Raises:
        ValueError: unknown name, or a configuration that the family can't build.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, not {spatial_dims}")
    for family in FAMILIES:
        if family.understands(name):
            return family.build(name, spatial_dims, in_channels, out_channels)
    known = ", ".join(names())
    raise ValueError(f"unknown architecture {name!r}; known: {known}, or any unet-<widths>")


def stride(name: str) -> int:
    """The factor by which every side of the input must be divisible.

    Raises:
        ValueError: unknown name.
    """
    for family in FAMILIES:
        if family.understands(name):
            return family.stride(name)
    known = ", ".join(names())
    raise ValueError(f"unknown architecture {name!r}; known: {known}, or any unet-<widths>")
