"""A batch in parts whose gradients add up to the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Losses = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Images, labels and targets to loss terms by name, each one value a sample."""
SEG = "seg"
"""The term that labels decide; all others are a teacher's."""
PSEUDO = "pseudo"
"""L_seg against a teacher's decisions, on samples without labels."""


@dataclass(frozen=True)
class Weights:
    """By what each sample of a batch counts, ``(N,)`` each: in L_seg, a teacher's terms, its pseudo labels.

    A term of the batch is the sum of its samples' values, each times its weight.
    """

    seg: Tensor
    taught: Tensor
    pseudo: Tensor

    def of(self, term: str) -> Tensor:
        """Those of one term."""
        return {SEG: self.seg, PSEUDO: self.pseudo}.get(term, self.taught)


def weights(count: int, labelled: int, unlabelled_weight: float, device: torch.device) -> Weights:
    """Of a batch of ``count`` samples, those with labels first.

    L_seg is the mean over the labelled ones; a teacher's terms are means over all, those of samples without
    labels times ``unlabelled_weight``, and of pseudo labels those of the others times nothing.
    """
    known = torch.arange(count, device=device) < labelled
    taught = torch.where(known, 1.0, unlabelled_weight) / count
    return Weights(known.float() / max(1, labelled), taught, taught * ~known)


def accumulate(
    losses: Losses, x: Tensor, y: Tensor, targets: Mapping[str, Tensor], counts: Weights, size: int
) -> dict[str, Tensor]:
    """Add the gradients of one batch, ``size`` samples at a time; returns the batch's terms and ``loss``.

    Every term is a weighted sum of per-sample values, so the sums of the parts add up to the batch's:
    gradients are those of the whole batch up to rounding. Only a network with batch statistics (BatchNorm)
    sees a difference, for it normalises each part by the part's own.
    """
    totals: dict[str, Tensor] = {}
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        values = losses(x[rows], y[rows], {name: value[rows] for name, value in targets.items()})
        terms = {name: (value * counts.of(name)[rows]).sum() for name, value in values.items()}
        terms["loss"] = torch.stack(list(terms.values())).sum()
        terms["loss"].backward()
        for name, term in terms.items():
            totals[name] = totals.get(name, torch.zeros_like(term)) + term.detach()
    return totals
