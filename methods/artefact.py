"""What is scored and measured: something with ``predict(x)`` and a file, never a bare module.

A pruned, quantised or exported network is measured by the same code as a plain one because all the
harness ever asks for is an ``Artefact``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn


class Artefact(Protocol):
    """A finished network."""

    @property
    def module(self) -> nn.Module | None:
        """The graph whose parameters and MACs are counted; None where there is none to count."""

    def predict(self, x: Tensor) -> Tensor:
        """Images ``(N, C, *spatial)``, normalised, to logits ``(N, out_channels, *spatial)``."""

    def save(self, path: Path) -> None:
        """Write the one file that the artefact can be used from."""

    def to(self, device: torch.device) -> Artefact:
        """The artefact on another device."""


class TorchArtefact:
    """A torch module with its weights in a safetensors file.

    The module is put into evaluation mode and the plain memory layout, which its file has too: scores are
    the same right after training and read back, and InstanceNorm in fp32 is faster so on a processor.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module.eval()
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        return self._module

    def predict(self, x: Tensor) -> Tensor:
        """Images to logits, in inference mode."""
        with torch.inference_mode():
            return self._module(x)

    def save(self, path: Path) -> None:
        """Write the weights."""
        save_model(self._module, str(path))

    def to(self, device: torch.device) -> TorchArtefact:
        """Move the module."""
        self._module.to(device)
        return self

    @classmethod
    def load(cls, build: Callable[[], nn.Module], path: Path) -> TorchArtefact:
        """Build the network and read its weights; every weight must be there and fit.

        Raises:
            ValueError: another file, or weights of another network.
        """
        module = build()
        try:
            load_model(module, str(path))
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path}: not a safetensors file with the network's weights ({reason})"
            ) from None
        return cls(module)
