"""How far a converted network is from the torch network that it was made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from methods.converting.graph import Graph, Session
from methods.outputs import decisions

DIFFERENCE = "largest_difference"
"""What a step that has compared itself with torch says in its facts."""
Predict = Callable[[Tensor], Tensor]
"""Images ``(N, C, *spatial)`` to logits ``(N, out_channels, *spatial)``."""

TOLERANCE = {"openvino": 1e-2}
"""By how much a logit of a graph in fp32 may differ from torch's, by runtime; ``USUAL`` of others.

OpenVINO's normalisation sums the pixels of a channel one after the other, in fp32: the further, the
coarser. After a single InstanceNorm values up to 6 are off by 2e-5 at 96², 8e-5 at 256², 9e-4 at 512²;
torch's by 2e-6 at each. What a conversion gets wrong, a dilation or bf16 instead of fp32, is off by more
than 1e-2.
"""
USUAL = 5e-4
"""Of trained U-Nets torch's own logits in fp32 are up to 2.3e-4 from the same network's in float64 (96²,
real slices, logits up to 16), and ONNX Runtime's up to 1.1e-4 from torch's: less says nothing of a graph.
"""


def compared(graph: Graph, session: Session, module: nn.Module, images: Sequence[Tensor]) -> Graph:
    """The graph with facts on its agreement: those of ``differences``, and ``compared_images``.

    Args:
        graph: of which ``session`` was opened.
        session: the opened graph.
        module: the torch network in evaluation mode.
        images: batches ``(N, C, *spatial)``.

    Raises:
        ValueError: logits that are not finite, or in fp32 one that is further than ``tolerance``.
    """
    with torch.inference_mode():
        found = differences(session.predict, module, images)
    largest, allowed = found[DIFFERENCE], tolerance(graph.runtime)
    if not math.isfinite(largest):
        raise ValueError(f"{graph.runtime}, {graph.precision}: a logit is not finite, here or in torch")
    if graph.precision == "fp32" and largest > allowed:
        sides = sorted({tuple(batch.shape[2:]) for batch in images})
        raise ValueError(
            f"{graph.runtime}: the converted network's logits differ from torch's by up to {largest:.2g} "
            f"on images of {sides}; in fp32 at most {allowed:g} is allowed"
        )
    facts = found | {"compared_images": sum(len(batch) for batch in images)}
    return dataclasses.replace(graph, facts=graph.facts | facts | session.measured())


def differences(ours: Predict, theirs: Predict, images: Iterable[Tensor]) -> dict[str, float]:
    """How far two networks' logits are from each other.

    Returns:
        ``largest_difference`` of a logit, NaN where one is, and the share of ``changed_pixels``, those
        whose class is another.

    Raises:
        ValueError: logits of different shapes.
    """
    largest, changed, pixels = 0.0, 0, 0
    for batch in images:
        one, other = ours(batch), theirs(batch)
        if one.shape != other.shape:
            raise ValueError(f"logits of {tuple(one.shape)}, where torch's are of {tuple(other.shape)}")
        gap = float((one - other).abs().max())
        largest = gap if not gap <= largest else largest  # so that NaN is kept
        changed += int((decisions(one) != decisions(other)).sum())
        pixels += one[:, 0].numel()
    return {DIFFERENCE: largest, "changed_pixels": changed / max(pixels, 1)}


def tolerance(runtime: str) -> float:
    """By how much a logit in fp32 may differ from torch's."""
    return TOLERANCE.get(runtime, USUAL)
