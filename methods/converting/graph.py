"""A converted network: its graph as bytes, what is known of it, and what opens it must be able to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """A network in another runtime; nothing outside it is needed to open it.

    ``parts`` are the files that the runtime wants, by name; ``facts`` are JSON values: what the network
    takes (``spatial_dims``, ``in_channels``, ``stride``), how far it is from the torch network, what was
    done to it and by which versions.
    """

    runtime: str
    precision: str
    parts: Mapping[str, bytes]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(part) for part in self.parts.values())


class Session(Protocol):
    """An opened graph."""

    @property
    def threads(self) -> int:
        """With how many threads it computes."""

    def set_threads(self, threads: int) -> None:
        """Compute with that many threads from now on."""

    def predict(self, x: Tensor) -> Tensor:
        """Images ``(N, C, *spatial)`` in fp32 to logits ``(N, out_channels, *spatial)``."""

    def measured(self) -> dict[str, Any]:
        """What the runtime made of the graph on this processor, as facts."""


def frozen(module: nn.Module) -> nn.Module:
    """The module ready for tracing: in evaluation mode, in fp32, the plain memory layout, on the processor.

    Exporters read the mode, the layout and the device of what they are given, so that a network in training
    mode is exported with the statistics of its example. The module itself is changed; give a copy.
    """
    module.eval().requires_grad_(False)
    return module.to("cpu", torch.float32, memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def given(images: Iterable[Tensor]) -> list[Tensor]:
    """The images as a list of plain fp32 batches.

    Raises:
        ValueError: there is none.
    """
    batches = [batch.detach().to("cpu", torch.float32).contiguous() for batch in images]
    if not sum(len(batch) for batch in batches):
        raise ValueError("no image to convert the network with: one of the training set at least is needed")
    return batches


def shape_facts(example: Tensor, stride: int) -> dict[str, Any]:
    """What the network takes: every side a multiple of ``stride``."""
    return {"spatial_dims": example.ndim - 2, "in_channels": example.shape[1], "stride": stride}


def checked_input(x: Tensor, facts: Mapping[str, Any]) -> Tensor:
    """The images as the runtimes want them: plain memory layout, on the processor.

    A graph no longer refuses what the network refused: it would answer with another size, or with a
    message of the runtime's own.

    Raises:
        ValueError: other images than the network takes.
    """
    dims, channels, stride = facts["spatial_dims"], facts["in_channels"], facts["stride"]
    if x.dtype != torch.float32 or x.ndim != dims + 2 or x.shape[1] != channels:
        found = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
        raise ValueError(f"images must be float32 (N, {channels}, {dims} sides), not {found}")
    if any(side < 1 or side % stride for side in x.shape[2:]):
        raise ValueError(f"every side must be a multiple of {stride}, not {tuple(x.shape[2:])}")
    return x.detach().to("cpu").contiguous()


def share(flags: Iterable[bool]) -> float:
    """How many of them are true, from 0 to 1; 0 of none."""
    flags = list(flags)
    return sum(flags) / max(1, len(flags))
