"""Where and how a job computes: device, threads, precision, compiled or not."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import torch
from torch import nn

from bench.compute.device import is_here
from bench.compute.thin_volumes import mend
from bench.errors import UserError
from bench.protocol import BATCH_SIZE


@dataclass(frozen=True)
class Runtime:
    """How tensors are computed. ``precision`` is ``fp32`` or ``bf16`` (autocast, weights in fp32).

    Fields but the device are those of a ``Job`` of the same name.
    """

    device: torch.device
    precision: str
    threads: int
    compiled: bool
    micro_batch: int = BATCH_SIZE
    """Samples that are in memory at a time; gradients of a batch are added up."""

    def autocast(self) -> contextlib.AbstractContextManager:
        """The context that a forward pass runs in."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def place(self, model: nn.Module, spatial_dims: int) -> None:
        """Move a network to the device, in 2-D in the memory format that its batches will have.

        In 3-D its convolutions are made sound where bf16 would give them a wrong gradient.
        """
        model.to(self.device)
        if spatial_dims == 2:
            model.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        elif self.device.type == "cpu" and self.precision == "bf16":
            mend(model)

    @property
    def memory_format(self) -> torch.memory_format:
        """Of 2-D images and networks in training: channels-last, which no network was slower in."""
        return torch.channels_last


def first_precision(wish: str, device: torch.device) -> str:
    """What a new study begins with: ``auto`` takes fp32, until the machine is asked.

    Raises:
        UserError: none named for GPUs that are not here to be asked.
    """
    if wish != "auto":
        return wish
    if device.type == "cuda" and not is_here(device.type):
        raise UserError(
            "--precision auto: there is no GPU here to ask; say fp32, or bf16 where theirs has it"
        )
    return "fp32"
