"""Networks in ONNX Runtime, on the processor."""

from __future__ import annotations

import copy
import logging
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

RUNTIME = "onnxruntime"
_INT8 = ("QLinear", "ConvInteger", "MatMulInteger")
_CONVOLUTIONS = ("Conv", "FusedConv", "ConvTranspose", "QLinearConv", "ConvInteger")
_NO_WORK = ("QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput")


def convert(module: nn.Module, images: Iterable[Tensor], stride: int = 1) -> Graph:
    """A network in fp32, for any batch and any sides that are multiples of ``stride``.

    Args:
        module: images ``(N, C, *spatial)`` to logits ``(N, out_channels, *spatial)``; it stays as it is.
        images: batches on which the graph is compared with it, as the network will meet them.
        stride: what every side must be a multiple of.

    Raises:
        ValueError: no image, a missing package, or logits that are further than ``tolerance`` from torch's.
    """
    module, images = frozen(copy.deepcopy(module)), given(images)
    model = exported(module, images[0], stride)
    facts = shape_facts(images[0], stride) | {"versions": versions("onnx", "onnxruntime", "torch")}
    graph = Graph(RUNTIME, "fp32", {"model.onnx": model.SerializeToString()}, facts)
    return compared(graph, OnnxSession(graph, torch.get_num_threads()), module, images)


def exported(module: nn.Module, example: Tensor, stride: int) -> Any:
    """The network as an ``onnx.ModelProto``, weights inside."""
    load("onnxscript")
    free = {dim: torch.export.Dim(f"side{dim - 1}") for dim in range(2, example.ndim)}
    shapes = {0: torch.export.Dim("batch")} | {dim: stride * free[dim] for dim in free}
    # Where an axis has length one, in the deepest feature too, the exporter takes that it always has.
    sides = [max(side, 2 * stride) for side in example.shape[2:]]
    zeros = torch.zeros(2, example.shape[1], *sides)
    # It tells which parts of torchvision it does without.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Of the exporter's own parts: deprecated calls, nothing about the network.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module,
            (zeros,),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=["images"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    assert program is not None  # with dynamo it never is
    return program.model_proto


class OnnxSession:
    """A graph that ONNX Runtime has prepared for this processor."""

    def __init__(self, graph: Graph, threads: int) -> None:
        self._graph = graph
        self.set_threads(threads)

    @property
    def threads(self) -> int:
        """As the prepared network has it."""
        return int(self._session.get_session_options().intra_op_num_threads)

    def set_threads(self, threads: int) -> None:
        """Prepare again for that many threads."""
        self._session = self._prepared(threads)

    def predict(self, x: Tensor) -> Tensor:
        """Images to logits."""
        images = checked_input(x, self._graph.facts).numpy()
        return torch.from_numpy(self._session.run(["logits"], {"images": images})[0])

    def measured(self) -> dict[str, Any]:
        """Share of operations in INT8 after the runtime's own fusions, instruction set."""
        onnx = load("onnx")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "prepared.onnx"
            self._prepared(1, path)
            kinds = [node.op_type for node in onnx.load(path).graph.node]
        working = [kind for kind in kinds if kind not in _NO_WORK]
        convolutions = [kind for kind in kinds if kind in _CONVOLUTIONS]
        return {
            "floating_point": "f32",
            "int8_operations": share(kind.startswith(_INT8) for kind in working),
            "int8_convolutions": share(kind.startswith(_INT8) for kind in convolutions),
            "instruction_set": processor.instruction_set(),
        }

    def _prepared(self, threads: int, keep: Path | None = None) -> Any:
        runtime = load("onnxruntime")
        options = runtime.SessionOptions()
        # Without a number the runtime counts the host's cores, not those that this process may use.
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads otherwise spin on for some 40 ms after a run, on the cores of what comes next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if keep is not None:
            options.optimized_model_filepath = str(keep)
        return runtime.InferenceSession(
            self._graph.parts["model.onnx"], options, providers=["CPUExecutionProvider"]
        )
