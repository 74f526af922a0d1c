"""Where a training step goes, layer by layer, against what this machine could do at best.

A layer can't take less than its arithmetic at the rate of a large matrix product, nor less than its reading
and writing at the rate of copying memory. Narrow networks are held up by the second.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.compute.macs import macs
from bench.compute.runtime import Runtime
from bench.performance.lab import Lab, as_in_a_job, in_rounds
from bench.performance.steps import products
from bench.protocol import BATCH_SIZE

COPIED = 2**28
"""Bytes of the copy that tells the bandwidth: more than a processor's caches hold."""


def measure_layers(lab: Lab, name: str) -> dict[str, Any]:
    """Each layer of ``name`` alone, forward and backward on a batch, uncompiled, in the study's precision.

    A row has ``gflops`` (three times the forward pass's), ``mb`` (input read twice, its gradient written,
    the output written and its gradient read), ``ms`` as measured, and ``bound_ms``: the greater of what
    the FLOPs and the bytes take at the machine's rates. A normalisation has the ReLU behind it counted in.
    """
    precision = lab.precisions[-1]
    runtime = lab.runtime(precision)
    rates = _rates(lab, precision)
    model = lab.network(name).train()
    runtime.place(model, 2)
    x = torch.rand(BATCH_SIZE, lab.session.dataset.in_channels, *[lab.scale.image_size] * 2)
    x = x.to(runtime.device).contiguous(memory_format=runtime.memory_format)
    calls: dict[str, Callable[[], object]] = {}
    rows: list[dict[str, Any]] = []
    for layer, module, given in _inputs(model, x, runtime):
        call, out = _both_ways(module, given, runtime)
        calls[layer] = as_in_a_job(call)
        flops = 6.0 * macs(module, given.shape)
        moved = 3 * given.numel() * given.element_size() + 2 * out.numel() * out.element_size()
        bound = max(flops / rates["flops"], moved / rates["bytes"])
        kind = type(module).__name__ + (" + ReLU" if _is_norm(module) else "")
        row = {"layer": layer, "kind": kind, "shape": list(out.shape[1:])}
        rows.append(row | {"gflops": flops / 1e9, "mb": moved / 1e6, "bound_ms": 1e3 * bound})
    stream = lab.short()
    calls["step"] = as_in_a_job(lab.job_steps(name, "baseline", precision, stream, compiled=False))
    calls["batch"] = lambda: stream.batch(0, 0)
    in_rounds(calls, 1)
    values = {key: 1e3 * statistics.median(own) for key, own in in_rounds(calls, lab.scale.rounds).items()}
    return {
        "network": name,
        "precision": precision,
        "threads": runtime.threads,
        "product_gflops": rates["flops"] / 1e9,
        "copy_gb_per_second": rates["bytes"] / 1e9,
        "step_ms": values["step"] / lab.scale.steps,
        "augmentation_ms": values["batch"],
        "layers": [row | {"ms": values[row["layer"]]} for row in rows],
    }


def _rates(lab: Lab, precision: str) -> dict[str, float]:
    """FLOPs per second of a large product, the faster of two ways, and bytes per second of a copy."""
    product = in_rounds(products(lab, precision), lab.scale.rounds)
    best = min(statistics.median(own) for own in product.values()) / lab.scale.steps
    source = torch.zeros((COPIED if lab.scale.compiled else 2**16) // 4, device=lab.session.device)
    target = torch.empty_like(source)
    copied = in_rounds({"copy": lambda: target.copy_(source)}, 1 + lab.scale.rounds)["copy"][1:]
    return {
        "flops": 2.0 * lab.scale.product_side**3 / best,
        "bytes": 2.0 * source.numel() * 4 / statistics.median(copied),
    }


def _inputs(model: nn.Module, x: Tensor, runtime: Runtime) -> list[tuple[str, nn.Module, Tensor]]:
    """Every layer of a network with what it is given in a pass; ReLUs are left to their normalisations."""
    found: list[tuple[str, nn.Module, Tensor]] = []

    def keep(layer: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, given: found.append((layer, module, given[0].detach().clone()))

    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    handles = [m.register_forward_pre_hook(keep(n)) for n, m in leaves if not isinstance(m, nn.ReLU)]
    with torch.no_grad(), runtime.autocast():
        model(x)
    for handle in handles:
        handle.remove()
    seen: dict[str, int] = {}
    named = []
    for layer, module, given in found:  # a pooling is one module and works on every level
        seen[layer] = seen.get(layer, 0) + 1
        named.append((layer if seen[layer] == 1 else f"{layer} ({seen[layer]})", module, given))
    return named


def _both_ways(module: nn.Module, given: Tensor, runtime: Runtime) -> tuple[Callable[[], None], Tensor]:
    x = given.requires_grad_()

    def forward() -> Tensor:
        with runtime.autocast():
            return F.relu(module(x)) if _is_norm(module) else module(x)

    out = forward()
    gradient = torch.ones_like(out)

    def call() -> None:
        x.grad = None
        module.zero_grad()
        forward().backward(gradient)

    return call, out.detach()


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.instancenorm._InstanceNorm | nn.modules.batchnorm._BatchNorm)
