"""What a step is: how a student is trained, how its shape is changed, how it is converted.

A ``Method`` trains: ``targets`` keeps what it needs of the teacher, as small tensors; ``loss`` turns a
student's outputs and those targets into named terms; ``decisions`` turns them into labels for samples that
have none; ``adapters`` gives a module that is trained with the student and thrown away after. A
``Reshape`` changes the shape of a trained network, which then trains on. A ``Convert`` turns a trained
network into what another runtime runs, or into another precision. Each part has a default that does
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from methods.artefact import About, Artefact, Graph, GraphArtefact, Session
from methods.outputs import Outputs, Tap

VARIANTS = ("common", "official", "paper")
KINDS = ("train", "reshape", "convert")
"""Of steps, in the order that a recipe has them."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """The base of all steps. Parameters of a step are fields of its (frozen) dataclass."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """``train``, ``reshape`` or ``convert``."""
    label: ClassVar[str] = ""
    """A word for axes and columns; empty: the name."""
    needs_teacher: ClassVar[bool] = False

    def supports(self, spatial_dims: int, out_channels: int) -> str:
        """Why the step can't be used on such data, for which its cells are skipped; empty if it can."""
        return ""

    def missing(self) -> str:
        """What this machine lacks to take the step, and what would help; empty if it lacks nothing."""
        return ""


@dataclass(frozen=True)
class Method(Step):
    """The base of all steps that train; by itself the one that does nothing."""

    kind: ClassVar[str] = "train"
    needs_teacher: ClassVar[bool] = True
    needs_taps: ClassVar[bool] = False
    """Whether the taps of the teacher and of the student are read at all."""
    unlabelled_weight: ClassVar[float] = 1.0
    """By what the terms of samples without labels count; in a ``Distillation`` it is a parameter."""

    def refuses(self, in_parts: bool, unlabelled: bool) -> str:
        """Why the method can't be used on such batches, for which its cells are skipped; empty if it can.

        ``in_parts``: a batch is computed some samples at a time; ``unlabelled``: some have no labels.
        """
        return ""

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """What is kept of the teacher for a batch: tensors ``(N, ...)`` in fp32, by name.

        Targets of the same name must mean the same thing in every method: they are stored once.
        """
        return {}

    def loss(self, student: Outputs, targets: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Weighted terms by name, each one value a sample, ``(N,)``; their means are added to L_seg."""
        return {}

    def decisions(self, targets: Mapping[str, Tensor]) -> Tensor | None:
        """Class indices ``(N, *spatial)`` that stand in for labels where samples have none, or None.

        L_seg against them is one more term, ``pseudo``, on those samples alone.
        """
        return None

    def adapters(
        self, student_shapes: Mapping[str, Shape], target_shapes: Mapping[str, Shape]
    ) -> nn.Module | None:
        """A module from the student's ``Outputs`` to the ``Outputs`` that ``loss`` reads, or None.

        Its weights are trained with the student's and thrown away. Shapes are those of one batch,
        the student's taps named by ``tap_name``, its logits ``"logits"``.
        """
        return None


@dataclass(frozen=True)
class Distillation(Method):
    """The base of methods that learn from a teacher's targets."""

    variants: ClassVar[tuple[str, ...]] = VARIANTS
    """What ``variant`` may be, in methods that have that parameter."""
    unlabelled_weight: float = field(default=1.0, kw_only=True)  # type: ignore[misc]

    def __post_init__(self) -> None:
        check(
            self.unlabelled_weight >= 0,
            f"unlabelled_weight must not be negative, not {self.unlabelled_weight}",
        )

    def targets(self, teacher: Outputs, labels: Tensor) -> dict[str, Tensor]:
        """The teacher's logits ``(N, C, *spatial)``, which most methods learn from."""
        return {"logits": teacher.logits.float()}


@dataclass(frozen=True)
class Material:
    """What a step that doesn't train may look at beside the network: training images, never others."""

    example: Tensor
    """One image ``(1, C, *spatial)``, normalised, at the size that the network sees."""
    images: Callable[[int], list[Tensor]]
    """At most so many images like it, of all training patients in turn, by a fixed seed; not augmented."""
    batches: Callable[[int], list[tuple[Tensor, Tensor]]]
    """So many batches ``(x, y)`` that training begins with, augmented; nobody's labels that L_seg may not
    see.
    """
    loss: Callable[[Tensor, Tensor], Tensor]
    """Logits and labels to L_seg, one value."""
    stride: int = 1
    """What every side of the network's input must be a multiple of."""
    seed: int = 0


@dataclass(frozen=True)
class Reshape(Step):
    """The base of steps that change a trained network's shape; it then trains on with the same losses."""

    kind: ClassVar[str] = "reshape"

    @property
    def fresh(self) -> bool:
        """Whether the network of the new shape begins with new weights.

        Then it trains for two rounds of the protocol's epochs, else for one: all have seen as many updates.
        """
        return False

    def reshape(self, module: nn.Module, material: Material) -> tuple[nn.Module, Mapping[str, Any] | None]:
        """The network to train on, and what ``architectures`` rebuilds its shape from (JSON).

        None where the shape is that of the architecture, as it is here, where nothing is changed.
        """
        return module, None


@dataclass(frozen=True)
class Convert(Step):
    """The base of steps after which a network trains no more."""

    kind: ClassVar[str] = "convert"

    def convert(self, module: nn.Module, about: About, material: Material) -> Artefact:
        """The trained ``module``, in evaluation mode and on the processor, as something else.

        ``about`` says what it is now.
        """
        raise NotImplementedError

    def keep(self, about: About, graph: Graph) -> GraphArtefact:
        """The artefact of a graph that this step has made, which its ``open`` will run."""
        return GraphArtefact(replace(about, step=self.name), graph, self.open)

    @classmethod
    def load_runtime(cls, runtime: str) -> None:
        """Import what runs its graphs: memory is counted above what that takes."""

    @classmethod
    def open(cls, graph: Graph, threads: int) -> Session:
        """What runs the graph that ``convert`` made and a file has kept, on so many threads."""
        raise NotImplementedError


def tap_name(tap: Tap) -> str:
    """``("encoder", 2)`` to ``"encoder/2"``."""
    return f"{tap[0]}/{tap[1]}"


def check(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_variant(variant: str, known: tuple[str, ...] = VARIANTS) -> None:
    """Refuse a variant that nobody defined."""
    check(variant in known, f"variant must be one of {', '.join(known)}, not {variant!r}")


def fill(step: Step, **usual: Any) -> None:
    """Give parameters that were left open (None) their usual values, once a frozen step is made."""
    for key, value in usual.items():
        if getattr(step, key) is None:
            object.__setattr__(step, key, value)
