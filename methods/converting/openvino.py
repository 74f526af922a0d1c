"""Networks in OpenVINO, on the processor."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.converting import processor
from methods.converting.agreement import compared
from methods.converting.graph import Graph, checked_input, frozen, given, shape_facts, share
from methods.converting.libraries import load, versions

RUNTIME = "openvino"
_CONVOLUTIONS = ("Convolution", "Deconvolution")
_NO_WORK = ("Const", "Input", "Output", "Reorder", "Reshape")


def convert(module: nn.Module, images: Iterable[Tensor], stride: int = 1) -> Graph:
    """A network in fp32, for any batch and sides.

    Args:
        module: images ``(N, C, *spatial)`` to logits ``(N, out_channels, *spatial)``; it stays as it is.
        images: batches on which the graph is compared with it, as the network will meet them.
        stride: what every side must be a multiple of.

    Raises:
        ValueError: no image, a missing package, or logits that are further than ``tolerance`` from torch's.
    """
    module, images = frozen(copy.deepcopy(module)), given(images)
    facts = shape_facts(images[0], stride) | {"versions": versions("openvino", "torch")}
    graph = Graph(RUNTIME, "fp32", parts(traced(module, images[0])), facts)
    return compared(graph, OpenVinoSession(graph, torch.get_num_threads()), module, images)


def traced(module: nn.Module, example: Tensor) -> Any:
    """The network as an ``openvino.Model``; each InstanceNorm is one operation in it."""
    openvino = load("openvino")
    with warnings.catch_warnings():
        # Tracing fixes what Python decides: the check of the sides, which a session makes itself, and the
        # number of branches. That nothing else was fixed is seen when the graph is compared with torch.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        with torch.inference_mode():
            # OpenVINO's own tracing runs the network several times more, to check itself.
            trace = torch.jit.trace(module, example, check_trace=False)
        model = openvino.convert_model(trace, example_input=example)
    model.reshape([-1, example.shape[1], *[-1] * (example.ndim - 2)])
    return model


def parts(model: Any) -> dict[str, bytes]:
    """The two files of an ``openvino.Model``; weights keep their precision."""
    openvino = load("openvino")
    # A process counts its networks and operations through: the same network would give other bytes.
    model.set_friendly_name("network")
    for number, operation in enumerate(model.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return {name: path.with_name(name).read_bytes() for name in ("model.xml", "model.bin")}


class OpenVinoSession:
    """A graph that OpenVINO has compiled for this processor."""

    def __init__(self, graph: Graph, threads: int) -> None:
        self._graph = graph
        self._core = load("openvino").Core()
        self._model = self._core.read_model(graph.parts["model.xml"], graph.parts["model.bin"])
        self.set_threads(threads)

    @property
    def threads(self) -> int:
        """As the compiled network has it."""
        return int(self._compiled.get_property("INFERENCE_NUM_THREADS"))

    def set_threads(self, threads: int) -> None:
        """Compile again for that many threads."""
        self._compiled = self._core.compile_model(
            self._model,
            "CPU",
            {
                # Processors with bf16 would otherwise compute "fp32" in it.
                "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": threads,
                # Pinned, the threads of two processes would share the first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = self._compiled.create_infer_request()

    def predict(self, x: Tensor) -> Tensor:
        """Images to logits."""
        self._request.infer([checked_input(x, self._graph.facts).numpy()], share_inputs=True)
        # The runtime uses the memory of its output again.
        return torch.from_numpy(self._request.get_output_tensor(0).data.copy())

    def measured(self) -> dict[str, Any]:
        """Precision of the floating-point part, share of operations in INT8, instruction set."""
        in_int8: list[tuple[str, bool]] = []
        for operation in self._compiled.get_runtime_model().get_ops():
            known = operation.get_rt_info()
            kind, kernel = (str(known[key].value) for key in ("layerType", "primitiveType"))
            if kind not in _NO_WORK:
                in_int8.append((kind, kernel.rpartition("_")[2].lower() in ("i8", "u8")))
        return {
            "floating_point": self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
            "int8_operations": share(int8 for _, int8 in in_int8),
            "int8_convolutions": share(int8 for kind, int8 in in_int8 if kind in _CONVOLUTIONS),
            "instruction_set": processor.instruction_set(),
        }
