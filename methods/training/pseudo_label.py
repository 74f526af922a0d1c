"""Pseudo labels: on images without labels the teacher's decisions stand in for them.

Lee: Pseudo-Label, ICML workshop 2013; the way of the winners of FLARE 2022, e.g. Huang et al. The decisions
are hard: the class of the largest probability, p > ½ for one channel. L_seg against them is one more term,
a mean over the batch in which samples with labels count nothing and those without ``unlabelled_weight``.
That is 1: no grid has chosen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from methods.base import Distillation
from methods.outputs import decisions


@dataclass(frozen=True)
class PseudoLabel(Distillation):
    """L_seg against the teacher's decisions, on samples without labels only."""

    name: ClassVar[str] = "pseudo-label"
    label: ClassVar[str] = "pseudo labels"

    def refuses(self, in_parts: bool, unlabelled: bool) -> str:
        """It is for images without labels."""
        return "" if unlabelled else "it needs images without labels (unlabelled: maps)"

    def decisions(self, targets: Mapping[str, Tensor]) -> Tensor:
        """Class indices ``(N, *spatial)`` uint8."""
        return decisions(targets["logits"])
