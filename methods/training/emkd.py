"""EMKD: prediction maps, importance maps and region contrast, as the cited paper's public code has them.

Qin et al.: Efficient Medical Image Segmentation Based on Knowledge Distillation, IEEE TMI 40(12), 2021. The
value is 0.1 PM + 0.9 IM + 0.9 RA:

PM
    ``pm-kd[variant=official]``, T = 4.
IM
    Importance maps with the exponent 4 where the paper has 1: the mean of A⁴ over channels, divided by its
    L2 norm; squared difference, summed over positions.
RA
    Region contrast: features are averaged over each class's region (labels brought to the feature's size,
    nearest); the squared difference of the cosines between two regions' means. The code knows two regions;
    of more it is the mean over all pairs that the sample has. It is 0 where there is no pair: on a sample
    of one class, where the code gives NaN if the background is missing, and on a sample without labels.

IM and RA are summed over two layers: the encoder's features of stride 8 and stride 2, as the code takes
them of its ENet and RA-UNet; of its U-Net it takes strides 16 and 2. Where the networks have none of stride
8 in common it is the deepest that they have, with the one nearest to stride 2 above it.

``weight`` multiplies all of it. 1 is the code's; of 0.1, 0.3 and 1 the best on validation patients was 0.1
(``results/liver-ct-labels``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Distillation, check, tap_name
from methods.outputs import Outputs, Tap
from methods.training.pm_kd import prediction_map_distance

PM, IM, RA = 0.1, 0.9, 0.9
EXPONENT = 4
LOW, HIGH = 2, 8
"""Strides of the two layers."""


@dataclass(frozen=True)
class Emkd(Distillation):
    """``weight`` times the sum of the three."""

    name: ClassVar[str] = "emkd"
    label: ClassVar[str] = "EMKD"
    needs_taps: ClassVar[bool] = True
    weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.weight >= 0, f"weight must not be negative, not {self.weight}")

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """Logits; of each feature that may be compared a map ``(N, positions)``, cosines ``(N, pairs)``."""
        kept = super().targets(teacher, labels)
        for tap, feature in teacher.taps.items():
            if _may_be(tap):
                kept[f"importance/{tap_name(tap)}"] = importance_map(feature)
                kept[f"contrast/{tap_name(tap)}"] = contrast(feature, labels, _regions(teacher))[0]
        return kept

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Three terms, ``pm``, ``im`` and ``ra``.

        Raises:
            ValueError: no feature of the student's encoder has one of the teacher's of its stride.
        """
        prediction = prediction_map_distance(student.logits.float(), targets["logits"], "official")
        importance, region = torch.zeros_like(prediction), torch.zeros_like(prediction)
        for tap in layers(tap for tap in student.taps if f"importance/{tap_name(tap)}" in targets):
            name, feature = tap_name(tap), student.taps[tap]
            apart = importance_map(feature) - targets[f"importance/{name}"]
            importance = importance + apart.pow(2).sum(dim=1)
            cosines, there = contrast(feature, labels, _regions(student))
            apart = (cosines - targets[f"contrast/{name}"]).pow(2) * there
            region = region + apart.sum(dim=1) / there.sum(dim=1).clamp(min=1)
        terms = {"pm": PM * prediction, "im": IM * importance, "ra": RA * region}
        return {name: self.weight * term for name, term in terms.items()}


def layers(shared: Iterable[Tap]) -> list[Tap]:
    """The two layers, of the taps that teacher and student share; one, where there is one.

    Raises:
        ValueError: there is none.
    """
    strides = sorted(stride for side, stride in filter(_may_be, shared))
    check(bool(strides), f"emkd: teacher and student share no encoder's tap of stride {HIGH} or less")
    low = min(strides[:-1], key=lambda stride: max(stride / LOW, LOW / stride), default=0)
    return [("encoder", stride) for stride in (low, strides[-1]) if stride]


def importance_map(feature: Tensor) -> Tensor:
    """``(N, C, *spatial)`` to ``(N, positions)``, L2-normalised; all zero where the feature is."""
    return F.normalize(feature.float().pow(EXPONENT).mean(dim=1).flatten(1), dim=1)


def contrast(feature: Tensor, labels: Tensor, regions: int) -> tuple[Tensor, Tensor]:
    """Cosines between the mean features of all pairs of regions, ``(N, pairs)``; and which pairs are there.

    Args:
        feature: ``(N, C, *spatial)``.
        labels: class indices ``(N, *sides)``, of any size.
        regions: classes with the background.
    """
    small = F.interpolate(labels[:, None].float(), feature.shape[2:], mode="nearest").flatten(1)
    inside = torch.stack([small == c for c in range(regions)], dim=1).float()
    count = inside.sum(dim=2)
    means = torch.einsum("ncp,nrp->nrc", feature.float().flatten(2), inside)
    means = F.normalize(means / count.clamp(min=1)[..., None], dim=2)
    pairs = list(combinations(range(regions), 2))
    cosines = torch.stack([(means[:, a] * means[:, b]).sum(dim=1) for a, b in pairs], dim=1)
    there = torch.stack([(count[:, a] > 0) & (count[:, b] > 0) for a, b in pairs], dim=1)
    return cosines, there.float()


def _regions(outputs: Outputs) -> int:
    return max(2, outputs.logits.shape[1])


def _may_be(tap: Tap) -> bool:
    return tap[0] == "encoder" and tap[1] <= HIGH
