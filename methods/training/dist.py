"""DIST: the student's probabilities need not equal the teacher's, only rise and fall with them.

Huang et al.: Knowledge Distillation from A Stronger Teacher, NeurIPS 2022. ρ is Pearson's correlation of
probabilities (softmax, or sigmoid of one channel). The value is the sum of ``1 − ρ`` along positions, mean
over classes, and, from three channels on, of ``1 − ρ`` along classes, mean over positions. With fewer
channels the second is 1 − (±1) and has no gradient. There is no temperature. Two variants:

``common``
    Positions are those of one sample, mean over the batch. Where the teacher's map of a class is constant
    it says nothing, and the term is 0. Weight 0.3: of 0.03, 0.1 and 0.3 the best on validation patients
    (``results/liver-ct-labels``).
``official``
    The authors' code for segmentation: the positions of the *whole batch* are one vector, so a batch can't
    be computed in parts, nor can samples without labels have a weight of their own. A constant map gives 1.
    Weight 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from methods.base import Distillation, check, check_variant, fill
from methods.outputs import Outputs

DEFAULT_WEIGHT = {"common": 0.3, "official": 1.0}
EPS = 1e-8
"""Of the public code: added to the denominator of a correlation."""


@dataclass(frozen=True)
class Dist(Distillation):
    """``weight`` times both terms; ``weight=None``: the variant's own."""

    name: ClassVar[str] = "dist"
    label: ClassVar[str] = "DIST"
    variants: ClassVar[tuple[str, ...]] = tuple(DEFAULT_WEIGHT)
    variant: str = "common"
    weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variant(self.variant, self.variants)
        fill(self, weight=DEFAULT_WEIGHT[self.variant])
        check((self.weight or 0) >= 0, f"weight must not be negative, not {self.weight}")
        check(
            self.variant == "common" or self.unlabelled_weight == 1,
            "variant official is one value a batch; unlabelled_weight must be 1",
        )

    def refuses(self, in_parts: bool, unlabelled: bool) -> str:
        """The official variant speaks of a batch."""
        if in_parts and self.variant == "official":
            return "variant official correlates whole batches; it can't be computed in micro-batches"
        return ""

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """One term, ``dist``."""
        distance = relation_distance(student.logits.float(), targets["logits"], self.variant)
        return {"dist": (self.weight or 0.0) * distance}


def relation_distance(student: Tensor, teacher: Tensor, variant: str = "common") -> Tensor:
    """The unweighted distance ``(N,)`` between logits ``(N, C, *spatial)``, in any number of dimensions.

    Of the official variant each sample's value is the batch's within classes, and its own between them.
    """
    p, q = (_probabilities(z).flatten(2) for z in (student, teacher))
    if variant == "official":
        whole = [part.transpose(0, 1).flatten(1) for part in (p, q)]
        value = _unlike(*whole).mean().expand(len(p))
    else:
        informed = q.amax(dim=2) > q.amin(dim=2)
        value = torch.where(informed, _unlike(p, q), 0.0).mean(dim=1)
    if p.shape[1] < 3:
        return value
    return value + _unlike(p.transpose(1, 2), q.transpose(1, 2)).mean(dim=1)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def _unlike(a: Tensor, b: Tensor) -> Tensor:
    """1 − Pearson's correlation along the last axis; never negative, where rounding would have it so."""
    a, b = (x - x.mean(dim=-1, keepdim=True) for x in (a, b))
    norms = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (1 - (a * b).sum(dim=-1) / (norms + EPS)).clamp(min=0)
