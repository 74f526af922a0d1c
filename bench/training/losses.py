"""The segmentation loss of the protocol."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.protocol import DICE_SMOOTH


def segmentation_loss(logits: Tensor, labels: Tensor, kind: str = "dice-bce") -> Tensor:
    """L_seg of the protocol, one value a sample: ``(N,)``.

    Args:
        logits: ``(N, C, *spatial)``; C = 1 means one class against background (sigmoid).
        labels: ``(N, *spatial)`` class indices.
        kind: ``dice-bce``, or ``bce`` without the Dice term (cross-entropy for several classes).
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        truth = (labels[:, None] > 0).float()
        entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        probability = torch.sigmoid(logits)
    else:
        entropy = F.cross_entropy(logits, labels.long(), reduction="none")
        probability = torch.softmax(logits, dim=1)[:, 1:]
        truth = torch.stack([labels == c for c in range(1, logits.shape[1])], dim=1).float()
    entropy = entropy.flatten(1).mean(dim=1)
    if kind == "bce":
        return entropy
    axes = tuple(range(2, logits.ndim))
    overlap = (probability * truth).sum(axes)
    size = probability.sum(axes) + truth.sum(axes)
    dice = (2 * overlap + DICE_SMOOTH) / (size + DICE_SMOOTH)
    return entropy + (1 - dice).mean(dim=1)
