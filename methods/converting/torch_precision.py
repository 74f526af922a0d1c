"""The same network in torch, in another precision: a row to compare other runtimes with."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from methods.artefact import DTYPES, About, TorchArtefact
from methods.base import Convert, Material, check


@dataclass(frozen=True)
class Torch(Convert):
    """Weights and activations in ``precision``: ``fp32``, which changes nothing, or ``bf16``."""

    name: ClassVar[str] = "torch"
    precision: str = "fp32"

    def __post_init__(self) -> None:
        known = ", ".join(DTYPES)
        check(self.precision in DTYPES, f"precision must be one of {known}, not {self.precision!r}")

    def convert(self, module: nn.Module, about: About, material: Material) -> TorchArtefact:
        """A copy with its weights rounded."""
        return TorchArtefact(copy.deepcopy(module), replace(about, precision=self.precision))
