"""Networks by name: families that understand many names, and single networks that are registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TypeVar

from torch import nn

from architectures import dmfnet, unet

Make = TypeVar("Make", bound=Callable[..., nn.Module])
Reason = Callable[[int, tuple[int, ...]], str]
"""Spatial dimensions and sides of the input to why the network can't take it, or to nothing."""


@dataclass(frozen=True)
class Network:
    """A single registered network; it answers as a family does that understands one name."""

    name: str
    make: Callable[..., nn.Module]
    multiple_of: int
    reason: Reason | None

    @property
    def NAMES(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name,)

    def understands(self, name: str) -> bool:
        """Whether it is that name."""
        return name == self.name

    def stride(self, name: str) -> int:
        """The factor by which every side of the input must be divisible."""
        return self.multiple_of

    def build(self, name: str, spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
        """The network with fresh weights."""
        return self.make(spatial_dims=spatial_dims, in_channels=in_channels, out_channels=out_channels)

    def supports(self, name: str, spatial_dims: int, sides: tuple[int, ...]) -> str:
        """Why it can't take such an input; empty where it can."""
        return self.reason(spatial_dims, sides) if self.reason is not None else ""


FAMILIES: list[ModuleType | Network] = [unet, dmfnet]
"""The first that understands a name builds it."""


def register(name: str, stride: int = 1, supports: Reason | None = None) -> Callable[[Make], Make]:
    """Make a network known by a name: ``@register("my-net", stride=8)`` above a class or a function.

    Args:
        name: as it is typed in a matrix.
        stride: the factor by which every side of the input must be divisible.
        supports: ``(spatial_dims, sides)`` to why the network can't take that, or to an empty text; jobs
            are skipped with the reason. Or the class has a static method of that name.

    What is decorated is called with ``spatial_dims``, ``in_channels`` and ``out_channels`` and gives an
    ``nn.Module`` with logits as its output.

    Raises:
        ValueError: a name that another network has, or none.
    """

    def decorate(make: Make) -> Make:
        other = next((family for family in FAMILIES if family.understands(name)), None)
        if not name or set(name) & set("[],: \t\n*?"):
            raise ValueError(f"a network's name must be a word without [, ], :, * and ?, not {name!r}")
        if other is not None:
            where = other.make.__module__ if isinstance(other, Network) else other.__name__
            raise ValueError(
                f"the network {name!r} is there already, in {where}; {make.__module__} needs another name"
            )
        reason = supports or getattr(make, "supports", None)
        FAMILIES.append(Network(name, make, stride, reason))
        return make

    return decorate
