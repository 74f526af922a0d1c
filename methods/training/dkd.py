"""Decoupled knowledge distillation (DKD): the true class against the rest, and the rest among themselves.

Zhao et al.: Decoupled Knowledge Distillation, CVPR 2022. Per pixel of class y, with tempered probabilities
t and s of teacher and student:

    ``α · T² · KL((t_y, 1 − t_y) ‖ (s_y, 1 − s_y))  +  β · T² · KL(t without y ‖ s without y)``

where the second pair are the distributions over the other classes. KL(t ‖ s) itself is the first part and
``1 − t_y`` times the second, so a sure teacher's opinion of the other classes counts as much here as an
unsure one's. As in the public code α = 1, β = 8, T = 4; its weight 1 rises over 20 epochs, which are all
that are trained here. Mean over pixels; ``weight`` 0.1 as of ``pm-kd``: no grid has chosen it.

With one class against background there is one other class, the second part is 0 and the first is ``pm-kd``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Distillation, check
from methods.outputs import Outputs

FAR = 1000.0
"""Taken from the true class's logit, it leaves that class no probability."""


@dataclass(frozen=True)
class Dkd(Distillation):
    """``weight`` times both parts."""

    name: ClassVar[str] = "dkd"
    label: ClassVar[str] = "DKD"
    temperature: float = 4.0
    alpha: float = 1.0
    beta: float = 8.0
    weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.temperature > 0, f"temperature must be positive, not {self.temperature}")
        for key in ("alpha", "beta", "weight"):
            check(getattr(self, key) >= 0, f"{key} must not be negative, not {getattr(self, key)}")

    def supports(self, spatial_dims: int, out_channels: int) -> str:
        """Three classes and more, the background among them."""
        return "" if out_channels > 2 else "with one class beside the background it is pm-kd itself"

    def refuses(self, in_parts: bool, unlabelled: bool) -> str:
        """It must know the class of every pixel."""
        return "it needs the class of every pixel; samples without labels have none" if unlabelled else ""

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Two terms, ``target`` and ``others``."""
        target, others = decoupled(student.logits.float(), targets["logits"], labels, self.temperature)
        return {"target": self.weight * self.alpha * target, "others": self.weight * self.beta * others}


def decoupled(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float = 4.0
) -> tuple[Tensor, Tensor]:
    """Both parts, ``(N,)`` each and unweighted.

    Of logits ``(N, C, *spatial)`` and class indices ``(N, *spatial)``. One channel z counts as the two
    channels (0, z).
    """
    if student.shape[1] == 1:
        student, teacher = (torch.cat([torch.zeros_like(z), z], dim=1) for z in (student, teacher))
        labels = labels > 0
    true = torch.stack([labels == c for c in range(student.shape[1])], dim=1)
    (own_s, rest_s), (own_t, rest_t) = (_parts(z / temperature, true) for z in (student, teacher))
    return temperature**2 * _kl(own_t, own_s), temperature**2 * _kl(rest_t, rest_s)


def _parts(z: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of the true class's share and the rest's ``(N, 2, *)``, and of each within the rest."""
    log_p = F.log_softmax(z, dim=1)
    own = log_p.masked_fill(~true, -torch.inf).logsumexp(dim=1)
    rest = log_p.masked_fill(true, -torch.inf).logsumexp(dim=1)
    return torch.stack([own, rest], dim=1), F.log_softmax(z - FAR * true, dim=1)


def _kl(log_t: Tensor, log_s: Tensor) -> Tensor:
    """KL(t ‖ s), mean over pixels: ``(N,)``."""
    return (log_t.exp() * (log_t - log_s)).sum(dim=1).clamp(min=0).flatten(1).mean(dim=1)
