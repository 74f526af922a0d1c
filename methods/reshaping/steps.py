"""The changes of shape as steps of a recipe: ``prune``, and ``continue``, which removes nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from methods.base import Material, Reshape
from methods.extras import how_to_get
from methods.reshaping.pruning import Pruning, prune

BATCHES = 8
"""That ``taylor`` sums gradients over."""


@dataclass(frozen=True)
class Prune(Reshape):
    """A part of the channels is removed: see ``Pruning`` for what the parameters mean."""

    name: ClassVar[str] = "prune"
    label: ClassVar[str] = "pruned"
    ratio: float = 0.5
    criterion: str = "l2"
    scope: str = "uniform"
    init: str = "source"

    def __post_init__(self) -> None:
        _ = self.pruning

    @property
    def pruning(self) -> Pruning:
        """The same, checked."""
        return Pruning(self.ratio, self.criterion, self.scope, self.init)

    @property
    def fresh(self) -> bool:
        """Whether the smaller network begins anew."""
        return self.init == "fresh"

    def missing(self) -> str:
        """The package that knows which channels belong together."""
        if importlib.util.find_spec("torch_pruning") is None:
            return how_to_get("torch-pruning", "prune")
        return ""

    def reshape(self, module: nn.Module, material: Material) -> tuple[nn.Module, Mapping[str, Any] | None]:
        """The network with fewer channels."""
        batches = material.batches(BATCHES) if self.criterion == "taylor" else ()
        return prune(module, material.example, self.pruning, material.seed, batches, material.loss)


@dataclass(frozen=True)
class Continue(Reshape):
    """The same network trained for as long again: what pruning is to be judged against."""

    name: ClassVar[str] = "continue"
    label: ClassVar[str] = "continued"
