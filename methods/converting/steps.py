"""The conversions as steps of a recipe: ``openvino``, ``onnxruntime``, ``int8``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from methods.artefact import About, GraphArtefact
from methods.base import Convert, Material, check
from methods.converting import int8, onnxruntime, openvino
from methods.converting.graph import Graph, Session
from methods.converting.libraries import lacking, load
from methods.converting.sessions import open_graph

COMPARED = {2: 32, 3: 4}
"""Calibration images that a conversion is compared with torch on, by spatial dimensions."""
NEEDED = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
}
"""Packages that each runtime takes."""
FP32 = {openvino.RUNTIME: openvino.convert, onnxruntime.RUNTIME: onnxruntime.convert}


@dataclass(frozen=True)
class _OtherRuntime(Convert):
    """What all conversions to another runtime share."""

    @classmethod
    def load_runtime(cls, runtime: str) -> None:
        """Import the runtime."""
        load(runtime)

    @classmethod
    def open(cls, graph: Graph, threads: int) -> Session:
        """Its session."""
        return open_graph(graph, threads)


@dataclass(frozen=True)
class _Fp32(_OtherRuntime):
    """In the runtime whose name the step has, in fp32."""

    def missing(self) -> str:
        """The packages."""
        return lacking(*NEEDED[self.name])

    def convert(self, module: nn.Module, about: About, material: Material) -> GraphArtefact:
        """A graph that agrees with torch, within ``agreement.tolerance``."""
        images = material.images(COMPARED[about.spatial_dims])
        return self.keep(about, FP32[self.name](module, images, material.stride))


@dataclass(frozen=True)
class OpenVino(_Fp32):
    """The network in OpenVINO, in fp32."""

    name: ClassVar[str] = "openvino"
    label: ClassVar[str] = "OpenVINO"


@dataclass(frozen=True)
class OnnxRuntime(_Fp32):
    """The network in ONNX Runtime, in fp32."""

    name: ClassVar[str] = "onnxruntime"
    label: ClassVar[str] = "ONNX Runtime"


@dataclass(frozen=True)
class Int8(_OtherRuntime):
    """Post-training quantisation to INT8 in ``runtime``, ranges from ``samples`` training images."""

    name: ClassVar[str] = "int8"
    label: ClassVar[str] = "INT8"
    runtime: str = "openvino"
    samples: int = 300

    def __post_init__(self) -> None:
        known = ", ".join(NEEDED)
        check(self.runtime in NEEDED, f"runtime must be one of {known}, not {self.runtime!r}")
        check(self.samples >= 1, f"samples must be 1 at least, not {self.samples}")

    def missing(self) -> str:
        """The packages of its runtime."""
        return lacking(*NEEDED[self.runtime], *(("nncf",) if self.runtime == "openvino" else ()))

    def convert(self, module: nn.Module, about: About, material: Material) -> GraphArtefact:
        """A graph whose convolutions compute in INT8."""
        images = material.images(self.samples)
        return self.keep(about, int8.convert(module, images, material.stride, self.runtime))
