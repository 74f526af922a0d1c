"""Importance-map distillation, attention transfer (AT): where the student looks, after every block.

Zagoruyko, Komodakis: Paying More Attention to Attention, ICLR 2017. The map of a feature
``A (C, *spatial)`` is ``Q = vec(Σ_c A²)``, divided by its L2 norm. Teacher and student are compared
at every tap that both have (same side, same stride). Three variants:

``common``
    Squared difference of the normalised maps, *summed* over positions, so that it does not depend
    on the image's size; mean over batch and matched pairs. Weight 0.9.
``official``
    The public attention-transfer code: squared difference, *mean* over positions and batch, summed
    over pairs. Weight (its β) 1e3.
``paper``
    The report's formula, ``β/2 Σ_j ‖Q_S^j/‖Q_S^j‖₂ − Q_T^j/‖Q_T^j‖₂‖₂``: the norm *not* squared,
    mean over batch. β (``weight``) 0.9, for the report names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Distillation, check, check_variant, fill, tap_name
from methods.outputs import Outputs

DEFAULT_WEIGHT = {"common": 0.9, "official": 1e3, "paper": 0.9}


@dataclass(frozen=True)
class AtKd(Distillation):
    """``weight`` times the distance between attention maps; ``weight=None``: the variant's own."""

    name: ClassVar[str] = "at-kd"
    label: ClassVar[str] = "AT"
    needs_taps: ClassVar[bool] = True
    variant: str = "common"
    weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variant(self.variant)
        fill(self, weight=DEFAULT_WEIGHT[self.variant])
        check((self.weight or 0) >= 0, f"weight must not be negative, not {self.weight}")

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """One normalised map ``(N, positions)`` per tap, named ``attention/<side>/<stride>``."""
        return {
            f"attention/{tap_name(tap)}": attention_map(feature) for tap, feature in teacher.taps.items()
        }

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """One term, ``at``.

        Raises:
            ValueError: no tap of the student matches one of the teacher's.
        """
        pairs = [
            (attention_map(feature), targets[f"attention/{tap_name(tap)}"])
            for tap, feature in student.taps.items()
            if f"attention/{tap_name(tap)}" in targets
        ]
        check(bool(pairs), "at-kd: teacher and student have no tap of the same side and stride")
        return {"at": (self.weight or 0.0) * attention_distance(pairs, self.variant)}


def attention_map(feature: Tensor) -> Tensor:
    """``(N, C, *spatial)`` to ``(N, positions)``, L2-normalised; all zero where the feature is."""
    return F.normalize(feature.float().pow(2).sum(dim=1).flatten(1), dim=1)


def attention_distance(pairs: list[tuple[Tensor, Tensor]], variant: str = "common") -> Tensor:
    """Unweighted distance ``(N,)`` of (student, teacher) pairs of normalised maps ``(N, positions)``."""
    if variant == "common":
        return torch.stack([(s - t).pow(2).sum(dim=1) for s, t in pairs]).mean(dim=0)
    if variant == "official":
        return torch.stack([(s - t).pow(2).mean(dim=1) for s, t in pairs]).sum(dim=0)
    return torch.stack([torch.linalg.vector_norm(s - t, dim=1) for s, t in pairs]).sum(dim=0) / 2
