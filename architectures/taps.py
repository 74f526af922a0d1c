"""Features of a network between its layers: what importance maps are made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

Tap = tuple[str, int]
"""Side (``encoder`` or ``decoder``) and stride of a feature."""


class Tapped(nn.Module):
    """A network with ``forward_intermediates``: features are taken from named parts by forward hooks."""

    def __init__(self, network: nn.Module, taps: Mapping[Tap, str]) -> None:
        super().__init__()
        self.network = network
        self.taps = dict(taps)
        for tap, part in self.taps.items():
            try:
                network.get_submodule(part)
            except AttributeError:
                known = ", ".join(name for name, _ in network.named_children())
                raise ValueError(
                    f"tap {tap}: the network has no part {part!r}; its parts: {known}"
                ) from None

    def forward(self, x: Tensor) -> Any:
        """The network's own output."""
        return self.network(x)

    def forward_intermediates(self, x: Tensor) -> tuple[Any, dict[Tap, Tensor]]:
        """The output, and the output of each named part."""
        found: dict[Tap, Tensor] = {}

        def keep(tap: Tap, module: nn.Module, given: Any, feature: Tensor) -> None:
            found[tap] = feature

        hooks = [
            self.network.get_submodule(part).register_forward_hook(partial(keep, tap))
            for tap, part in self.taps.items()
        ]
        try:
            logits = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return logits, {tap: found[tap] for tap in self.taps}


def tapped(network: nn.Module, taps: Mapping[Tap, str]) -> nn.Module:
    """Give a network that was made elsewhere the features that methods compare.

    Args:
        network: with logits as its output.
        taps: ``{("encoder", 2): "down1", ...}``: side and stride of the feature, and the part of the
            network whose output it is, named as in ``network.named_modules()``.

    Raises:
        ValueError: no part of that name.
    """
    return Tapped(network, taps)
