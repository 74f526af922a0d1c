"""Structured pruning: whole channels are removed, so that a smaller dense network is left."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Material, Reshape
from methods.extras import how_to_get
from methods.reshaping.channels import Channels, Conv, Norm, Structure
from methods.reshaping.criteria import CRITERIA, Loss, evidence, gradients, scores

SCOPES = ("uniform", "global")
INITS = ("source", "fresh")
BATCHES = 8
"""That ``taylor`` sums gradients over."""


@dataclass(frozen=True)
class Prune(Reshape):
    """A part of the channels is removed.

    ``ratio`` of all channels; ``criterion``: which go first; ``scope``: of every set of channels that ratio
    (``uniform``), or the weakest of all sets together (``global``); ``init``: whether the smaller network
    keeps the weights of its source or, as a control, starts anew in the same shape (``fresh``).
    """

    name: ClassVar[str] = "prune"
    label: ClassVar[str] = "pruned"
    ratio: float = 0.5
    criterion: str = "l2"
    scope: str = "uniform"
    init: str = "source"

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must lie between 0 and 1, both excluded, not {self.ratio:g}")
        for name, known in (("criterion", CRITERIA), ("scope", SCOPES), ("init", INITS)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")

    @property
    def fresh(self) -> bool:
        """Whether the smaller network begins anew."""
        return self.init == "fresh"

    def missing(self) -> str:
        """The package that knows which channels belong together."""
        if importlib.util.find_spec("torch_pruning") is None:
            return how_to_get("torch-pruning", "prune")
        return ""

    def reshape(self, module: nn.Module, material: Material) -> tuple[nn.Module, Mapping[str, Any] | None]:
        """The network with fewer channels."""
        batches = material.batches(BATCHES) if self.criterion == "taylor" else ()
        return prune(module, material.example, self, material.seed, batches, material.loss)


def prune(
    module: nn.Module,
    example: Tensor,
    asked: Prune,
    seed: int = 0,
    batches: Iterable[tuple[Tensor, Tensor]] = (),
    loss: Loss | None = None,
) -> tuple[nn.Module, dict[str, list[int]]]:
    """A smaller network with the weights that are left, and its shape.

    The names of the state dict stay. ``architectures.build(..., shape=shape)`` makes a network of the shape
    with weights of its own: a place to load the pruned weights into, or what ``init=fresh`` trains.

    Args:
        module: stays as it is.
        example: ``(N, C, *spatial)``, with which it is run.
        asked: what is removed.
        seed: of the criterion ``random``.
        batches: images and labels, for ``taylor``.
        loss: of logits and labels, for ``taylor``.

    Raises:
        ValueError: a network that is too narrow, or ``taylor`` without batches and loss.
    """
    module = copy.deepcopy(module).eval()
    if asked.criterion == "taylor":
        if loss is None:
            raise ValueError("taylor needs a loss")
        gradients(module, batches, loss)
    structure = Structure(module, example)
    generator = torch.Generator().manual_seed(seed)
    ranked = []
    for channels in structure.sets():
        if not channels.reads(structure.head):
            ranked.append((channels, scores(channels, asked.criterion, generator)))
        elif asked.scope == "uniform":
            ranked.append((channels, evidence(channels, structure.head)))
    choose = _uniform if asked.scope == "uniform" else _global
    for channels, which in choose(ranked, asked.ratio):
        structure.remove(channels, which)
    module.zero_grad()
    structure.widths_told()
    return module, shape_of(module)


def shape_of(module: nn.Module) -> dict[str, list[int]]:
    """Of each convolution the channels out and in and the groups, of each normalisation the channels."""
    shape = {}
    for name, part in module.named_modules():
        if isinstance(part, Conv):
            shape[name] = [part.out_channels, part.in_channels, part.groups]
        elif isinstance(part, Norm):
            shape[name] = [part.num_features]
    return shape


Ranked = list[tuple[Channels, Tensor]]
Removed = list[tuple[Channels, list[int]]]


def _by_position(channels: Channels, values: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of positions, ascending, and the positions: a position is the same channel of every group."""
    return values.unflatten(0, (channels.groups, -1)).mean(0).sort()


def _at(channels: Channels, positions: Tensor) -> list[int]:
    """The channels at some positions of every group."""
    starts = torch.arange(0, channels.size, channels.size // channels.groups)
    return sorted((starts[:, None] + positions[None]).flatten().tolist())


def _uniform(ranked: Ranked, ratio: float) -> Removed:
    removed = []
    for channels, values in ranked:
        order = _by_position(channels, values)[1]
        count = min(round(len(order) * ratio), len(order) - 1)
        if count < 1:
            raise ValueError(
                f"too narrow to prune by {ratio:g}: {channels.name} has {channels.size} channels in "
                f"{channels.groups} group(s)"
            )
        removed.append((channels, _at(channels, order[:count])))
    return removed


def _global(ranked: Ranked, ratio: float) -> Removed:
    candidates = []
    for index, (channels, values) in enumerate(ranked):
        ordered, order = _by_position(channels, values / values.mean())
        # The strongest stays, or the network would be cut through.
        candidates += [
            (float(s), index, int(position)) for s, position in zip(ordered[:-1], order[:-1], strict=True)
        ]
    wanted = ratio * sum(channels.size for channels, _ in ranked)
    chosen: list[list[int]] = [[] for _ in ranked]
    for _, index, position in sorted(candidates):
        if wanted < ranked[index][0].groups / 2:
            break
        chosen[index].append(position)
        wanted -= ranked[index][0].groups
    if wanted >= max(channels.groups for channels, _ in ranked) or not any(chosen):
        raise ValueError(f"too narrow to prune by {ratio:g}: every layer keeps one channel at least")
    return [
        (channels, _at(channels, torch.tensor(positions)))
        for (channels, _), positions in zip(ranked, chosen, strict=True)
        if positions
    ]
