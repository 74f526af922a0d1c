"""Several teachers as one, and targets that belong to other samples, as a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, logsigmoid

from bench.training.step import Targets

SHUFFLED = 0x5F1
"""Tells the order of shuffled targets from other random numbers of the same seed."""


class MeanOfNetworks(nn.Module):
    """Networks whose probabilities are averaged; what it returns are the logits of that mean."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, C, *spatial)``."""
        return mean_logits([network(x) for network in self.networks])


def together(networks: Sequence[nn.Module]) -> nn.Module:
    """One teacher of one network or several."""
    return networks[0] if len(networks) == 1 else MeanOfNetworks(networks)


def mean_logits(logits: Sequence[Tensor]) -> Tensor:
    """Logits ``(N, C, *spatial)`` of the mean of the probabilities, computed in logarithms.

    Of one channel log(p / (1 - p)), of several log p: so that the sigmoid, or softmax, of the targets is
    the mean p, and nothing is lost where networks are sure.
    """
    stacked = torch.stack(list(logits)).float()
    if stacked.shape[2] == 1:
        return logsigmoid(stacked).logsumexp(dim=0) - logsigmoid(-stacked).logsumexp(dim=0)
    return log_softmax(stacked, dim=2).logsumexp(dim=0) - float(np.log(len(stacked)))


def shuffled(targets: Targets, seed: int) -> Targets:
    """The targets of each batch dealt anew, so that every sample has those of another one of its batch."""

    def read(epoch: int, batch: int) -> dict[str, Tensor]:
        found = targets.read(epoch, batch)
        order = others(seed, epoch, batch, len(next(iter(found.values()))))
        return {name: values[order.to(values.device)] for name, values in found.items()}

    return replace(targets, read=read)


def others(seed: int, epoch: int, batch: int, samples: int) -> Tensor:
    """Whose targets each sample of a batch has: the next one's along a ring of all, shuffled."""
    ring = np.random.default_rng([seed, epoch, batch, SHUFFLED]).permutation(samples)
    order = np.empty(samples, np.int64)
    order[ring] = np.roll(ring, -1)
    return torch.from_numpy(order)
