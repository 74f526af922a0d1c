"""The instruction set by its usual name."""

import platform

import pytest
import torch

from methods.converting import processor


@pytest.mark.parametrize(
    ("flags", "name", "cut_off"),
    [
        (("amx_int8", "avx512_vnni", "avx2"), "AMX", False),
        (("avx512_vnni", "avx_vnni", "avx512_f", "avx512_bw", "avx2"), "AVX-512 VNNI", False),
        (("avx_vnni", "avx2"), "AVX-VNNI", False),
        (("avx512_f", "avx512_bw", "avx2"), "AVX-512", True),
        (("avx2",), "AVX2", True),
        ((), "x86_64", True),
    ],
)
def test_x86(flags, name, cut_off, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(flags, True))
    assert processor.instruction_set() == name
    assert processor.saturates() is cut_off


def test_other_processors_add_in_32_bits(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert processor.instruction_set() == "aarch64"
    assert not processor.saturates()
