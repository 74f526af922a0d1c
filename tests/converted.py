"""Tiny networks, and each conversion of them once."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import torch
from commands import needs
from torch import Tensor, nn

import architectures
from methods.converting import Graph, int8, onnxruntime, openvino

NEEDED = {"openvino": ("openvino", "nncf"), "onnxruntime": ("onnx", "onnxruntime", "onnxscript")}
KINDS = [(runtime, precision) for runtime in NEEDED for precision in ("fp32", "int8")]
NAMES = ["unet-2-4", *(name for name in architectures.names() if not name.startswith("unet-"))]
CELLS = [(name, dims) for name in NAMES for dims in (2, 3)]


@functools.cache
def network(name: str, dims: int, out_channels: int = 1) -> nn.Module:
    """Trained for a moment, in training mode: to find what is bright."""
    torch.manual_seed(0)
    module = architectures.build(name, dims, out_channels=out_channels)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for step in range(40 if name.startswith("unet") and dims == 2 else 3):
        x, y = samples(name, dims, 4, seed=step)
        target = y if out_channels == 1 else torch.cat([1 - y, y, *[0 * y] * (out_channels - 2)], 1)
        loss = nn.functional.binary_cross_entropy_with_logits(module(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module


def samples(
    name: str, dims: int, count: int, seed: int = 0, sides: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Noise with a bright, blurred patch, and where the patch is."""
    side = {"dmfnet": 32}.get(name, max(8, 16 // (dims - 1)))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 1, *(sides or [side] * dims), generator=generator)
    blur = nn.functional.avg_pool2d if dims == 2 else nn.functional.avg_pool3d
    smooth = blur(noise, 5, 1, 2) * 5
    return smooth + 0.3 * noise, (smooth > 0.5).float()


def once(exported: Callable[..., Any]) -> Callable[..., Any]:
    """``onnxruntime.exported`` that remembers its graphs: tracing takes seconds, and tests ask again.

    Those of the same class, parts, weights, sides and stride are the same.
    """
    known: dict[tuple, Any] = {}

    @functools.wraps(exported)
    def remembered(module: nn.Module, example: Tensor, stride: int) -> Any:
        digest = hashlib.sha256()
        for value in module.state_dict().values():
            digest.update(value.numpy().tobytes())
        key = (type(module), str(module), digest.digest(), example.shape[1:], stride)
        if key not in known:
            known[key] = exported(module, example, stride)
        return known[key]

    return remembered


@functools.cache
def converted(runtime: str, precision: str, name: str, dims: int) -> Graph:
    """Skips where the runtime is not installed; in CI it fails."""
    for package in NEEDED[runtime]:
        needs(package)
    images = [samples(name, dims, count, seed=count)[0] for count in (1, 2)]
    module, stride = network(name, dims), architectures.stride(name)
    if precision == "int8":
        return int8.convert(module, images, stride, runtime)
    return {"openvino": openvino, "onnxruntime": onnxruntime}[runtime].convert(module, images, stride)
