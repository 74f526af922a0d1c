"""Whether a step is compiled, whether that worked, and what is done where it did not."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from bench.compute.runtime import Runtime
from bench.errors import brief

T = TypeVar("T")
COMPILE_FROM_FLOPS = 10e12
"""Training work of a job, in FLOPs, from which compiling pays: it takes 9 to 32 s, once for
all seeds, and saves 11 to 22 % of a U-Net's step; ``unet-32-64`` in bf16, of 23 TFLOPs, 15 s for 9."""
COMPILE_BATCHNORM_FROM_FLOPS = 50e12
"""The same where a network's normalisation is BatchNorm. What compiling cures is InstanceNorm: of a step of
``dmfnet`` in 2-D it saves 8 %, 27 s of a job of 17 TFLOPs, and takes 74 s."""
COMPILE_ON_GPU_FROM_FLOPS = 5e15
"""The same on a GPU, where it takes as long and there is less to save: on an H100 the first compiled step
of ``unet-8-16-32-64`` took 28 s, and later ones 9.0 ms where uncompiled ones take 8.6; all 500 steps of
``unet-64-128-256-512``, 0.25 PFLOP, take 5 s uncompiled."""
NARROW = 32
"""Channels: below, code compiled for channels-last bf16 can't fill AVX-512's 32 values, and a step of
``unet-16-32-64-128`` takes 1.5 times as long as uncompiled, of ``unet-8-16-32-64`` 1.9 times."""
GRADIENT_FACTOR = 10
"""By what the norm of a weight's gradient may change when it is compiled; rounding in bf16 is far less."""


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether a part of a batch is normalised otherwise than the whole."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile will find what it needs."""
    if device.type == "cpu":
        return any(shutil.which(compiler) for compiler in ("g++", "clang++", "c++"))
    return device.type == "cuda"


def worth_compiling(model: nn.Module, flops: float, runtime: Runtime) -> bool:
    """Whether a job planned as compiled, of ``flops`` of training, will save by it more than it takes."""
    if runtime.device.type != "cpu":
        return flops >= COMPILE_ON_GPU_FROM_FLOPS
    if has_batch_statistics(model):
        return flops >= COMPILE_BATCHNORM_FROM_FLOPS
    widths = [norm.num_features for norm in model.modules() if isinstance(norm, nn.InstanceNorm2d)]
    return runtime.precision != "bf16" or min(widths, default=NARROW) >= NARROW


def compiled_or_eager(
    run: Callable[..., T],
    function: Callable[..., Any],
    runtime: Runtime,
    module: nn.Module,
    on_eager: Callable[[str], None],
) -> Callable[..., T]:
    """``run(function, *arguments)``, with ``function`` compiled where ``runtime`` says so and it works.

    Compiling happens in the first call, the backward part only when ``run`` goes backward. If that call
    fails, or leaves other gradients than the same call uncompiled, ``module`` and the random state are
    put back, ``on_eager`` is told why, and this call and all others run uncompiled; a mistake that isn't
    the compiler's shows there again. ``run`` must therefore leave weights as they are.
    """
    if not runtime.compiled:
        return partial(run, function)
    chosen: Callable[..., Any] | None = None

    def call(*arguments: Any) -> T:
        nonlocal chosen
        if chosen is not None:
            return run(chosen, *arguments)
        before = _state(module)
        gradients: dict[str, torch.Tensor] = {}
        reason = ""
        try:
            compiled = torch.compile(function, dynamic=False)
            result = run(compiled, *arguments)
            after, gradients = _state(module), _gradients(module)
        except Exception as error:
            reason = f"failed ({brief(error)})"
        if not reason and not gradients:
            chosen = compiled
            return result
        _put_back(module, before)
        expected = run(function, *arguments)
        reason = reason or _difference(gradients, _gradients(module))
        if reason:
            chosen = function
            on_eager(f"torch.compile {reason}")
            return expected
        chosen = compiled
        _put_back(module, after)
        for name, parameter in module.named_parameters():
            parameter.grad = gradients.get(name)
        return result

    return call


def _state(module: nn.Module) -> tuple[dict[str, Any], torch.Tensor]:
    return copy.deepcopy(module.state_dict()), torch.get_rng_state()


def _put_back(module: nn.Module, state: tuple[dict[str, Any], torch.Tensor]) -> None:
    module.load_state_dict(state[0])
    torch.set_rng_state(state[1])


def _gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def _difference(compiled: dict[str, torch.Tensor], eager: dict[str, torch.Tensor]) -> str:
    """What is wrong with the compiled gradients: one of another order of magnitude, not rounding.

    Weights of one dimension are left out: the gradient of a bias before a normalisation is rounding.
    """
    for name, expected in eager.items():
        size = float(expected.norm())
        if expected.ndim < 2 or size == 0:
            continue
        found = float(compiled[name].norm()) if name in compiled else 0.0
        if not size / GRADIENT_FACTOR < found < size * GRADIENT_FACTOR:
            return f"computes wrong gradients: that of {name} has norm {found:.2g}, not {size:.2g}"
    return ""
