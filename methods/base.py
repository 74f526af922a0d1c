"""What a method is: five parts, each with a default that does nothing.

A method says how a student is made. ``targets`` keeps what it needs of the teacher, as small
tensors; ``loss`` turns a student's outputs and those targets into named terms; ``adapters`` gives a
module that is trained with the student and thrown away after; ``finish`` says what happens after
training and returns the artefact that is scored and measured, ``load`` reads that artefact back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from methods.artefact import Artefact, TorchArtefact

VARIANTS = ("common", "official", "paper")
Tap = tuple[str, int]
Shape = tuple[int, ...]


class Outputs(NamedTuple):
    """What a network says about a batch.

    ``logits``: ``(N, out_channels, *spatial)``; ``taps``: one feature ``(N, C, *spatial / stride)``
    per block, keyed by ``(side, stride)``.
    """

    logits: Tensor
    taps: Mapping[Tap, Tensor]


@dataclass(frozen=True)
class Method:
    """The base of all methods; by itself the one that does nothing.

    Parameters of a method are fields of its (frozen) dataclass.
    """

    name: ClassVar[str]
    label: ClassVar[str] = ""
    """A word for axes and columns; empty: the name."""
    needs_teacher: ClassVar[bool] = True
    needs_taps: ClassVar[bool] = False
    """Whether the taps of the teacher and of the student are read at all."""
    unlabelled_weight: ClassVar[float] = 1.0
    """By what the terms of samples without labels count; in a ``Distillation`` it is a parameter."""

    def supports(self, spatial_dims: int, out_channels: int) -> str:
        """Why the method can't be used on such data, for which its cells are skipped; empty if it can."""
        return ""

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """What is kept of the teacher for a batch: tensors ``(N, ...)`` in fp32, by name.

        Targets of the same name must mean the same thing in every method: they are stored once.
        """
        return {}

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name, each one value a sample, ``(N,)``; their means are added to L_seg."""
        return {}

    def adapters(
        self, student_shapes: Mapping[str, Shape], target_shapes: Mapping[str, Shape]
    ) -> nn.Module | None:
        """A module from the student's ``Outputs`` to the ``Outputs`` that ``loss`` reads, or None.

        Its weights are trained with the student's and thrown away. Shapes are those of one batch,
        the student's taps named by ``tap_name``, its logits ``"logits"``.
        """
        return None

    def finish(self, model: nn.Module, calibration: Iterable[Tensor]) -> Artefact:
        """What happens after training: the trained student to the artefact that is measured.

        ``calibration`` yields batches of training images, normalised, not augmented.
        """
        return TorchArtefact(model)

    def load(self, build: Callable[[], nn.Module], path: Any) -> Artefact:
        """The artefact that ``finish`` made, read from the file that its ``save`` wrote."""
        return TorchArtefact.load(build, path)


@dataclass(frozen=True)
class Distillation(Method):
    """The base of methods that learn from a teacher's targets."""

    unlabelled_weight: float = field(default=1.0, kw_only=True)  # type: ignore[misc]

    def __post_init__(self) -> None:
        check(
            self.unlabelled_weight >= 0,
            f"unlabelled_weight must not be negative, not {self.unlabelled_weight}",
        )


def tap_name(tap: Tap) -> str:
    """``("encoder", 2)`` to ``"encoder/2"``."""
    return f"{tap[0]}/{tap[1]}"


def check(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_variant(variant: str) -> None:
    """Refuse a variant that nobody defined."""
    check(variant in VARIANTS, f"variant must be one of {', '.join(VARIANTS)}, not {variant!r}")
