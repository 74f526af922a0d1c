"""Quantised networks: what is lost, from which images, on which processor."""

import io

import numpy as np
import pytest
import torch
from commands import needs
from converted import CELLS, NEEDED, converted, network, samples

from methods.converting import int8, open_graph, processor

OLD = {"avx2": True, "avx512_f": True, "avx512_bw": True}


@pytest.mark.parametrize("runtime", NEEDED)
def test_the_patch_is_still_found(runtime):
    """Users of several tools report INT8 U-Nets that give background only."""
    x, y = samples("unet-2-4", 2, 16, seed=55)

    def dice(logits):
        mask = (logits > 0).float()
        return float(2 * (mask * y).sum() / (mask.sum() + y.sum()))

    whole = dice(open_graph(converted(runtime, "fp32", "unet-2-4", 2)).predict(x))
    assert whole > 0.4
    assert dice(open_graph(converted(runtime, "int8", "unet-2-4", 2)).predict(x)) > whole - 0.05


@pytest.mark.parametrize("runtime", NEEDED)
@pytest.mark.parametrize(("name", "dims"), [cell for cell in CELLS if cell[0] == "dmfnet"])
def test_the_file_is_smaller(runtime, name, dims):
    assert converted(runtime, "int8", name, dims).size < 0.4 * converted(runtime, "fp32", name, dims).size


@pytest.mark.parametrize("runtime", NEEDED)
def test_poor_calibration_images_are_named(runtime):
    for package in NEEDED[runtime]:
        needs(package)
    module, x = network("unet-2-4", 2), samples("unet-2-4", 2, 1)[0]
    air = [torch.full((2, 1, 16, 16), -1.5)] * 2
    assert int8.convert(module, [x], 2, runtime).facts["doubts"] == ["calibrated on a single image"]
    (doubt,) = int8.convert(module, air, 2, runtime).facts["doubts"]
    assert "show nothing" in doubt


def test_an_unknown_runtime_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of openvino, onnxruntime, not 'tensorrt'"):
        int8.convert(network("unet-2-4", 2), [samples("unet-2-4", 2, 1)[0]], 2, "tensorrt")


@pytest.mark.parametrize("runtime", NEEDED)
def test_weights_take_half_their_range_where_sums_are_cut_off(runtime, monkeypatch):
    full = converted(runtime, "int8", "unet-2-4", 2)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: OLD)
    assert processor.saturates()
    half = int8.convert(network("unet-2-4", 2), [samples("unet-2-4", 2, 4)[0]], 2, runtime)
    assert half.facts["overflow_fix"]
    assert half.facts["instruction_set"] == "AVX-512"
    open_graph(half)
    if not full.facts["overflow_fix"]:
        with pytest.raises(ValueError, match="on this one, with AVX-512, its sums would be cut off"):
            open_graph(full)
    assert largest_weight(half) <= 64 < largest_weight(full) <= 128


def largest_weight(graph):
    """The largest 8-bit weight of a convolution, by magnitude."""
    if graph.runtime == "openvino":
        import openvino

        model = openvino.Core().read_model(graph.parts["model.xml"], graph.parts["model.bin"])
        found = [
            node.data
            for node in model.get_ops()
            if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "i8"
        ]
    else:
        import onnx

        model = onnx.load(io.BytesIO(graph.parts["model.onnx"]))
        found = [onnx.numpy_helper.to_array(each) for each in model.graph.initializer]
        found = [each for each in found if each.dtype == np.int8 and each.ndim > 1]
    return max(np.abs(each.astype(int)).max() for each in found if each.size)
