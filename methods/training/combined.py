"""PM and AT together: the report's "distilled student". A composition, no formula of its own.

This is the sum of ``pm-kd`` and ``at-kd`` with their own weights; it is *not* the method of Qin et
al. 2021, which has a third term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from methods.base import Distillation, Method, check
from methods.outputs import Outputs
from methods.training.at_kd import AtKd
from methods.training.pm_kd import PmKd


@dataclass(frozen=True)
class Combined(Distillation):
    """``pm-kd`` plus ``at-kd``; parameters are theirs, the weights told apart by prefix."""

    name: ClassVar[str] = "combined"
    label: ClassVar[str] = "PM + AT"
    needs_taps: ClassVar[bool] = True
    variant: str = "common"
    temperature: float = 4.0
    pm_weight: float | None = None
    at_weight: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        pm, at = self.parts
        object.__setattr__(self, "pm_weight", pm.weight)
        object.__setattr__(self, "at_weight", at.weight)

    @classmethod
    def of(cls, parts: tuple[Method, ...]) -> Combined | None:
        """The sum ``pm-kd+at-kd``, which this is; None of another sum.

        Raises:
            ValueError: the two are of different variants.
        """
        if [type(part) for part in parts] != [PmKd, AtKd]:
            return None
        pm, at = parts
        assert isinstance(pm, PmKd) and isinstance(at, AtKd)
        for key in ("variant", "unlabelled_weight"):
            one, other = getattr(pm, key), getattr(at, key)
            check(one == other, f"pm-kd+at-kd: {key} must be the same in both, not {one} and {other}")
        return cls(pm.variant, pm.temperature, pm.weight, at.weight, unlabelled_weight=pm.unlabelled_weight)

    @property
    def parts(self) -> tuple[PmKd, AtKd]:
        """The two methods that this one is made of."""
        return (
            PmKd(self.variant, self.temperature, self.pm_weight, unlabelled_weight=self.unlabelled_weight),
            AtKd(self.variant, self.at_weight, unlabelled_weight=self.unlabelled_weight),
        )

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The targets of both."""
        return {k: v for part in self.parts for k, v in part.targets(teacher, labels).items()}

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The terms of both, ``pm`` and ``at``."""
        return {k: v for part in self.parts for k, v in part.loss(student, targets, labels).items()}
