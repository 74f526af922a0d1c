"""Which instructions this processor multiplies 8-bit numbers with."""

from __future__ import annotations

import platform

import torch

_SETS = (
    ("AMX", ("amx_int8",)),
    ("AVX-512 VNNI", ("avx512_vnni",)),
    ("AVX-VNNI", ("avx_vnni",)),
    ("AVX-512", ("avx512_f", "avx512_bw")),
    ("AVX2", ("avx2",)),
)
_EXACT = ("AMX", "AVX-512 VNNI", "AVX-VNNI")


def instruction_set() -> str:
    """The best of ``AMX``, ``AVX-512 VNNI``, ``AVX-VNNI``, ``AVX-512``, ``AVX2``; else the architecture."""
    has = torch.cpu.get_capabilities()
    return next((name for name, flags in _SETS if all(has.get(flag) for flag in flags)), platform.machine())


def saturates() -> bool:
    """Whether sums of 8-bit products are cut off at 16 bits here, so that large weights give wrong sums.

    x86 before VNNI multiplies unsigned by signed bytes and adds two products in 16 bits. Weights of half
    the range (the *overflow fix* of nncf, ``reduce_range`` of onnxruntime) never reach the limit.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    return x86 and instruction_set() not in _EXACT
