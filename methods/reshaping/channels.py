"""Which channels of a network must go together: those that are added, and whatever reads them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.extras import how_to_get

Conv = nn.modules.conv._ConvNd
Norm = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class Slices:
    """A convolution that makes channels (``output``) or reads them, and where.

    ``here`` are the convolution's own indices, ``there`` those of the set of channels: a concatenated skip
    connection is read at an offset.
    """

    conv: Any
    output: bool
    here: Tensor
    there: Tensor

    def weights(self, of: Tensor) -> Tensor:
        """The slices of a tensor like the convolution's weight, ``(channels, everything else)``."""
        conv = self.conv
        first = conv.transposed != self.output
        if conv.groups == 1 or first:
            return (of if first else of.transpose(0, 1)).flatten(1)[self.here]
        # Of a grouped convolution channel i is read by the outputs of its own group alone.
        groups, inside = conv.groups, conv.in_channels // conv.groups
        slices = of.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flatten(1)
        assert len(slices) == groups * inside
        return slices[self.here]


@dataclass(frozen=True)
class Channels:
    """A set of channels that are removed from all of its convolutions at once.

    ``groups``: of the grouped convolutions that make or read it. They stay as many, and each gives up the
    same of its channels.
    """

    name: str
    size: int
    groups: int
    parts: tuple[Slices, ...]

    def reads(self, conv: nn.Module) -> bool:
        """Whether that convolution reads these channels."""
        return any(part.conv is conv and not part.output for part in self.parts)


class Structure:
    """The sets of channels of a network, found by running it once; they can be removed."""

    def __init__(self, module: nn.Module, example: Tensor) -> None:
        try:
            tp = importlib.import_module("torch_pruning")
        except ImportError as error:
            raise ValueError(how_to_get("torch-pruning", "prune", str(error))) from None
        self.module, self.example = module, example
        self.head = last_convolution(module, example)
        self._remove = tp.prune_conv_out_channels
        layers = {id(p) for m in module.modules() if isinstance(m, (Conv, *Norm)) for p in m.parameters()}
        others = [parameter for parameter in module.parameters() if id(parameter) not in layers]
        self._graph = tp.DependencyGraph()
        # Followed by their gradients, numbers such as the weights of DMFNet's branches would be taken for
        # channels.
        for parameter in module.parameters():
            parameter.requires_grad_(id(parameter) in layers)
        self._graph.build_dependency(module, example_inputs=example, ignored_params=others, verbose=False)
        module.requires_grad_(True)

    def sets(self) -> Iterator[Channels]:
        """All sets of channels, but the logits."""
        names = {module: name for name, module in self.module.named_modules()}
        for group in self._graph.get_all_groups([self.head], [nn.Conv2d, nn.Conv3d, *_UP]):
            parts = tuple(
                Slices(
                    item.dep.target.module,
                    self._graph.is_out_channel_pruning_fn(item.dep.handler),
                    torch.tensor(item.idxs),
                    torch.tensor(item.root_idxs),
                )
                for item in (group[index] for index in range(len(group)))
                if isinstance(item.dep.target.module, Conv)
            )
            root = parts[0].conv
            yield Channels(names[root], root.out_channels, max(part.conv.groups for part in parts), parts)

    def remove(self, channels: Channels, which: list[int]) -> None:
        """Remove some of a set everywhere."""
        self._graph.get_pruning_group(channels.parts[0].conv, self._remove, which).prune()

    def widths_told(self) -> None:
        """Let normalisations without weights know how many channels they have left."""

        def tell(norm: Any, given: tuple[Tensor, ...]) -> None:
            norm.num_features = given[0].shape[1]

        hooks = [m.register_forward_pre_hook(tell) for m in self.module.modules() if isinstance(m, Norm)]
        with torch.no_grad():
            self.module(self.example)
        for hook in hooks:
            hook.remove()


_UP = (nn.ConvTranspose2d, nn.ConvTranspose3d)


def last_convolution(module: nn.Module, example: Tensor) -> nn.Module:
    """The convolution that gives the logits: the last that runs.

    Raises:
        ValueError: there is none.
    """
    ran: list[nn.Module] = []
    convs = [part for part in module.modules() if isinstance(part, Conv)]
    hooks = [conv.register_forward_pre_hook(lambda conv, _: ran.append(conv)) for conv in convs]
    with torch.no_grad():
        module(example)
    for hook in hooks:
        hook.remove()
    if not ran:
        raise ValueError("the network has no convolution to prune")
    return ran[-1]
