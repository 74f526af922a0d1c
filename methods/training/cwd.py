"""Channel-wise distillation (CWD): where in the image each class is seen, as a distribution over positions.

Shu et al.: Channel-wise Knowledge Distillation for Dense Prediction, ICCV 2021. Of every channel of the
logits the softmax is taken over *positions*; the value is ``T² · KL(t ‖ s)`` of these two distributions,
mean over channels and batch. One channel is taken as it is, not as the pair (0, z), which would give half.
What is added to a channel as a whole changes nothing, so this loss says nothing about the threshold: L_seg
does. The variants differ in their numbers alone:

``common``
    T = 4, weight 0.03. On one channel of 96² its gradient is about six times that of the prediction maps at
    equal weight. Of 0.003, 0.01 and 0.03 it was the best on validation patients
    (``results/liver-ct-labels``).
``official``
    The authors' code on logits: T = 4, weight 3.
``mmrazor``
    The configuration of MMRazor, which many have used: T = 1, weight 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from methods.base import Distillation, check, check_variant, fill
from methods.outputs import Outputs

DEFAULTS = {"common": (4.0, 0.03), "official": (4.0, 3.0), "mmrazor": (1.0, 5.0)}
"""Temperature and weight."""


@dataclass(frozen=True)
class Cwd(Distillation):
    """``weight`` times the distance; ``temperature`` and ``weight`` None: the variant's own."""

    name: ClassVar[str] = "cwd"
    label: ClassVar[str] = "CWD"
    variants: ClassVar[tuple[str, ...]] = tuple(DEFAULTS)
    variant: str = "common"
    temperature: float | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variant(self.variant, self.variants)
        temperature, weight = DEFAULTS[self.variant]
        fill(self, temperature=temperature, weight=weight)
        check((self.temperature or 0) > 0, f"temperature must be positive, not {self.temperature}")
        check((self.weight or 0) >= 0, f"weight must not be negative, not {self.weight}")

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """One term, ``cwd``."""
        distance = channel_distance(student.logits.float(), targets["logits"], self.temperature or 1.0)
        return {"cwd": (self.weight or 0.0) * distance}


def channel_distance(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """The unweighted distance ``(N,)`` between logits ``(N, C, *spatial)``, in any number of dimensions."""
    log_s, log_t = (F.log_softmax(z.flatten(2) / temperature, dim=2) for z in (student, teacher))
    divergence = (log_t.exp() * (log_t - log_s)).sum(dim=2)
    return temperature**2 * divergence.clamp(min=0).mean(dim=1)  # rounding can leave -1e-8
