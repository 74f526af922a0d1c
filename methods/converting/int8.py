"""Post-training quantisation to INT8: weights and activations, ranges from calibration images.

Weights per output channel and symmetric, activations per tensor and asymmetric. InstanceNorm stays in
floating point in both runtimes.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.converting import onnxruntime, openvino, processor
from methods.converting.agreement import compared
from methods.converting.calibration import doubts, singles
from methods.converting.graph import Graph, frozen, shape_facts
from methods.converting.libraries import load, versions
from methods.converting.sessions import open_graph


def convert(
    module: nn.Module, calibration: Iterable[Tensor], stride: int = 1, runtime: str = openvino.RUNTIME
) -> Graph:
    """A network in INT8, for any batch and any sides that are multiples of ``stride``.

    On a processor whose 8-bit sums are cut off, weights take half their range (``overflow_fix``).

    Args:
        module: images ``(N, C, *spatial)`` to logits ``(N, out_channels, *spatial)``; it stays as it is.
        calibration: batches of training images, not augmented. All of them are held at once.
        stride: what every side must be a multiple of.
        runtime: ``openvino`` or ``onnxruntime``.

    Raises:
        ValueError: no image, an unknown runtime or a missing package.
    """
    if runtime not in _QUANTIZE:
        raise ValueError(f"runtime must be one of {', '.join(_QUANTIZE)}, not {runtime!r}")
    module, images = frozen(copy.deepcopy(module)), singles(calibration)
    overflow_fix = processor.saturates()
    graph = _QUANTIZE[runtime](module, images, stride, overflow_fix)
    facts = shape_facts(images[0], stride) | {
        "overflow_fix": overflow_fix,
        "calibration_images": len(images),
        "doubts": doubts(images),
    }
    graph = dataclasses.replace(graph, facts=graph.facts | facts)
    return compared(graph, open_graph(graph, torch.get_num_threads()), module, images)


def _by_nncf(module: nn.Module, images: list[Tensor], stride: int, overflow_fix: bool) -> Graph:
    nncf = load("nncf")
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        model = nncf.quantize(
            openvino.traced(module, images[0]),
            nncf.Dataset([image.numpy() for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE if overflow_fix else nncf.OverflowFix.DISABLE
            ),
        )
    facts = {"versions": versions("openvino", "nncf", "torch")}
    return Graph(openvino.RUNTIME, "int8", openvino.parts(model), facts)


def _by_onnxruntime(module: nn.Module, images: list[Tensor], stride: int, overflow_fix: bool) -> Graph:
    tools = load("onnxruntime.quantization")
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(tools.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {"images": image.numpy()}

    with tempfile.TemporaryDirectory() as folder:
        names = ("plain.onnx", "prepared.onnx", "quantized.onnx")
        plain, prepared, quantized = (Path(folder) / name for name in names)
        # As a file, for of a network in memory the weights are taken out before its shapes are inferred.
        plain.write_bytes(onnxruntime.exported(module, images[0], stride).SerializeToString())
        # The symbolic inference of shapes fails where sides are free.
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        tools.quantize_static(
            prepared,
            quantized,
            Reader(),
            quant_format=tools.QuantFormat.QDQ,
            # The others lie between float InstanceNorms here: in INT8 they cost a third of the time more.
            op_types_to_quantize=["Conv", "ConvTranspose"],
            per_channel=True,
            reduce_range=overflow_fix,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
        content = quantized.read_bytes()
    facts = {"versions": versions("onnx", "onnxruntime", "torch")}
    return Graph(onnxruntime.RUNTIME, "int8", {"model.onnx": content}, facts)


_QUANTIZE = {openvino.RUNTIME: _by_nncf, onnxruntime.RUNTIME: _by_onnxruntime}
