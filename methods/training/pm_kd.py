"""Prediction-map distillation (PM): the student's map is drawn to the teacher's, pixel by pixel.

Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015 (temperature and T²);
Qin et al.: Efficient Medical Image Segmentation Based on Knowledge Distillation, IEEE TMI 40(12),
2021 (the same per pixel of a segmentation, weight 0.1). Three variants:

``common``
    ``T² · KL(t ‖ s)`` of the tempered distributions, mean over pixels and batch; with one channel
    both Bernoulli terms, with several the softmax. T = 4, weight 0.1.
``official``
    What the public code of Qin et al. gives: its two-channel view divides by ``C·HW/2`` pixels, so
    that C classes weigh ``2/C`` of the mean; one channel z counts as the two channels (0, z) and is
    the same as ``common``. T = 4, weight 0.1.
``paper``
    The report's formula, ``(1/N) Σ_i KL(p_i^s ‖ p_i^t)``: the other direction, no temperature
    (``temperature`` is not read), weight 1, for the report names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from methods.base import Distillation, check, check_variant, fill
from methods.outputs import Outputs

DEFAULT_WEIGHT = {"common": 0.1, "official": 0.1, "paper": 1.0}


@dataclass(frozen=True)
class PmKd(Distillation):
    """``weight`` times the distance between the prediction maps; ``weight=None``: the variant's own."""

    name: ClassVar[str] = "pm-kd"
    label: ClassVar[str] = "PM"
    variant: str = "common"
    temperature: float = 4.0
    weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variant(self.variant)
        check(self.temperature > 0, f"temperature must be positive, not {self.temperature}")
        fill(self, weight=DEFAULT_WEIGHT[self.variant])
        check((self.weight or 0) >= 0, f"weight must not be negative, not {self.weight}")

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """One term, ``pm``."""
        distance = prediction_map_distance(
            student.logits.float(), targets["logits"], self.variant, self.temperature
        )
        return {"pm": (self.weight or 0.0) * distance}


def prediction_map_distance(
    student: Tensor, teacher: Tensor, variant: str = "common", temperature: float = 4.0
) -> Tensor:
    """The unweighted distance ``(N,)`` between logits ``(N, C, *spatial)``, in any number of dimensions."""
    if variant == "paper":
        return kl(student, teacher).flatten(1).mean(dim=1)
    value = temperature**2 * kl(teacher / temperature, student / temperature).flatten(1).mean(dim=1)
    channels = student.shape[1]
    return value * 2 / channels if variant == "official" and channels > 1 else value


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) per pixel from logits ``(N, C, *spatial)``: ``(N, *spatial)``, never negative."""
    if p.shape[1] == 1:
        on = F.logsigmoid(p).exp() * (F.logsigmoid(p) - F.logsigmoid(q))
        off = F.logsigmoid(-p).exp() * (F.logsigmoid(-p) - F.logsigmoid(-q))
        divergence = (on + off)[:, 0]
    else:
        log_p, log_q = F.log_softmax(p, dim=1), F.log_softmax(q, dim=1)
        divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1)
    # Rounding can leave -1e-8 where p and q are equal.
    return divergence.clamp(min=0)
