"""Several losses of one training: ``pm-kd+cwd``. A composition, no formula of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from methods.base import Method, Shape, check
from methods.outputs import Outputs

PART = "part"


class Beside(nn.Module):
    """Adapters side by side: what each gives stands among the taps as ``(PART, k)``, for its part alone."""

    def __init__(self, adapters: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(nn.Identity() if one is None else one for one in adapters)

    def forward(self, outputs: Outputs) -> tuple[Tensor, dict[Any, Any]]:
        """The network's own logits, and the outputs that each part reads."""
        return outputs.logits, {
            (PART, k): Outputs(*adapter(outputs)) for k, adapter in enumerate(self.adapters)
        }


@dataclass(frozen=True)
class Sum(Method):
    """The terms of all its parts. Parameters are theirs, ``<part>.<name>`` each."""

    parts: tuple[Method, ...]

    def __post_init__(self) -> None:
        weights = {part.unlabelled_weight for part in self.parts}
        check(
            len(weights) == 1,
            f"{self.name}: unlabelled_weight must be the same in every part, not "
            f"{' and '.join(map(str, sorted(weights)))}",
        )
        object.__setattr__(self, "unlabelled_weight", weights.pop())

    @property
    def name(self) -> str:  # type: ignore[override]
        """``pm-kd+cwd``."""
        return "+".join(part.name for part in self.parts)

    @property
    def label(self) -> str:  # type: ignore[override]
        """``PM + CWD``."""
        return " + ".join(part.label or part.name for part in self.parts)

    @property
    def needs_taps(self) -> bool:  # type: ignore[override]
        """Whether one of them reads taps."""
        return any(part.needs_taps for part in self.parts)

    def supports(self, spatial_dims: int, out_channels: int) -> str:
        """Why one of them can't be used."""
        reasons = (part.supports(spatial_dims, out_channels) for part in self.parts)
        return next((reason for reason in reasons if reason), "")

    def refuses(self, in_parts: bool, unlabelled: bool) -> str:
        """Why one of them can't be used on such batches."""
        reasons = (part.refuses(in_parts, unlabelled) for part in self.parts)
        return next((reason for reason in reasons if reason), "")

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The targets of all."""
        return {k: v for part in self.parts for k, v in part.targets(teacher, labels).items()}

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """The terms of all; of two that have the same name the second is ``<part>/<name>``."""
        terms: dict[str, Tensor] = {}
        for k, part in enumerate(self.parts):
            adapted: Any = student.taps.get((PART, k), student)
            found = part.loss(adapted, targets, labels)
            terms |= {name if name not in terms else f"{part.name}/{name}": found[name] for name in found}
        return terms

    def decisions(self, targets: Mapping[str, Tensor]) -> Tensor | None:
        """Those of the one part that decides; None where none does.

        Raises:
            ValueError: two of them decide.
        """
        found = [own for part in self.parts if (own := part.decisions(targets)) is not None]
        check(len(found) < 2, f"{self.name}: two parts decide for samples without labels")
        return found[0] if found else None

    def adapters(
        self, student_shapes: Mapping[str, Shape], target_shapes: Mapping[str, Shape]
    ) -> nn.Module | None:
        """Those of its parts, each for its own part alone; None where no part has any."""
        own = [part.adapters(student_shapes, target_shapes) for part in self.parts]
        return None if all(one is None for one in own) else Beside(own)
