"""How much each channel matters: what is removed first has the smallest score.

Li, Kadav, Durdanovic, Samet, Graf: Pruning filters for efficient ConvNets, ICLR 2017 (norms); Molchanov,
Mallya, Tyree, Frosio, Kautz: Importance estimation for neural network pruning, CVPR 2019 (Taylor).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from methods.reshaping.channels import Channels

CRITERIA = ("l2", "l1", "taylor", "random")
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits ``(N, out_channels, *spatial)`` and labels to a number."""


def scores(channels: Channels, criterion: str, generator: torch.Generator) -> Tensor:
    """One score a channel, ``(size,)``, over all convolutions that make or read it.

    ``l2`` and ``l1`` are norms of the channel's weights, ``taylor`` the sum of the magnitudes of weight
    times gradient.
    """
    if criterion == "random":
        return torch.rand(channels.size, generator=generator)
    total = torch.zeros(channels.size)
    for part in channels.parts:
        weight = part.conv.weight
        if criterion == "taylor":
            values = part.weights((weight * weight.grad).detach()).abs()
        else:
            values = part.weights(weight.detach()).abs().pow(2 if criterion == "l2" else 1)
        total.index_add_(0, part.there, values.sum(1))
    return total.sqrt() if criterion == "l2" else total


def evidence(channels: Channels, head: Any) -> Tensor:
    """Scores for what the head reads: channels for and against each class in equal shares, ``(size,)``.

    By norm or gradient a head would keep its negative weights alone, since most pixels are background, and
    behind a ReLU the logit then never exceeds the head's bias: the network predicts nothing, which training
    on doesn't cure. So each channel is ranked by its weight among those of the same sign, for every class.
    """
    found = torch.zeros(channels.size)
    for part in channels.parts:
        if part.conv is not head or part.output:
            continue
        weights = part.weights(part.conv.weight.detach())
        for value in weights.unflatten(1, (part.conv.out_channels, -1)).sum(2).T:
            for same in (value > 0, value <= 0):
                rank = value[same].abs().argsort().argsort() + 1.0
                there = part.there[same]
                found[there] = torch.maximum(found[there], rank / len(rank))
    return found


def gradients(module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss) -> None:
    """Fill the gradients of the module's parameters: summed over the batches.

    Raises:
        ValueError: there is no batch.
    """
    module.zero_grad()
    count = 0
    for images, labels in batches:
        loss(module(images), labels).backward()
        count += 1
    if not count:
        raise ValueError("taylor needs batches of training images with labels, and there is none")
