"""What is scored and measured: something with ``predict(x)`` and a file, never a bare module.

A pruned, quantised or exported network is measured by the same code as a plain one because all the harness
ever asks for is an ``Artefact``. Its one file is a safetensors file that describes itself: tensors are a
torch network's weights, or the parts of another runtime's graph as bytes, and the header says in JSON all
that is needed to use them (``About``).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_file, save_model
from torch import Tensor, nn

from methods.converting.graph import Graph, Session

FORMAT = 1
"""Of the header; raised when older code could misread a file."""
KEY = "lightseg_bench"
PART = "part/"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def parameters_of(module: nn.Module) -> int:
    """How many numbers training changes in a network."""
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass(frozen=True)
class About:
    """What an artefact is, as its file says it."""

    architecture: str
    spatial_dims: int = 2
    in_channels: int = 1
    out_channels: int = 1
    image_size: int = 0
    """Side that images are resized to; of volumes the size that was asked for."""
    patch: tuple[int, ...] = ()
    """Sides of the windows that volumes are seen in; empty: images are seen whole."""
    slices: str = ""
    classes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    """How images are normalised, as a record has it: mean, standard deviation, window, spacing."""
    shape: Mapping[str, Any] | None = None
    """What a network that was reshaped is rebuilt from; None: it has its architecture's own shape."""
    parameters: int | None = None
    """Of the torch network that it is, or was made from."""
    runtime: str = "torch"
    precision: str = "fp32"
    step: str = ""
    """The step whose ``open`` runs it; empty: it is a torch network."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the step that made it says: images it looked at, operations in INT8, the processor."""

    def as_json(self) -> str:
        """For the header; the same text for the same content."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, sort_keys=True)


def read_about(path: Path) -> About | None:
    """What a file says of itself; None of weights that say nothing, as files of earlier versions.

    Raises:
        ValueError: no safetensors file, a header of another version, or one that can't be.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ValueError(f"{path}: not a safetensors file ({_said(error)})") from None
    if text is None:
        return None
    try:
        content = json.loads(text)
        version = content.pop("format")
        if version != FORMAT:
            raise ValueError(f"made by another version: its format is {version}, this one reads {FORMAT}")
        about = About(**content)
        _check_types(about)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: not an artefact of this version ({_said(error)})") from None
    return replace(about, patch=tuple(about.patch), classes=tuple(about.classes))


def _check_types(about: About) -> None:
    """Refuse a header whose values are of another kind."""
    numbers = (about.spatial_dims, about.in_channels, about.out_channels, about.image_size)
    texts = (about.architecture, about.slices, about.runtime, about.precision, about.step, *about.classes)
    if not all(isinstance(value, int) and 0 <= value < 2**31 for value in (*numbers, *about.patch)):
        raise ValueError("sizes must be whole numbers")
    if not all(isinstance(value, str) and value.isprintable() for value in texts):
        raise ValueError("names must be text")
    if not all(isinstance(value, dict) for value in (about.data, about.shape or {}, about.facts)):
        raise ValueError("data, shape and facts must hold keys and values")


class Artefact(Protocol):
    """A finished network."""

    @property
    def about(self) -> About | None:
        """What it is; None of a bare module that nobody keeps."""

    @property
    def module(self) -> nn.Module | None:
        """The torch network, where it is one; only such can teach, be reshaped or be converted."""

    def predict(self, x: Tensor) -> Tensor:
        """Images ``(N, C, *spatial)``, normalised, to logits ``(N, out_channels, *spatial)`` in fp32."""

    def set_threads(self, threads: int) -> None:
        """Compute on so many threads from now on."""

    def save(self, path: Path) -> None:
        """Write the one file that the artefact can be used from."""

    def to(self, device: torch.device) -> Artefact:
        """The artefact on another device; one that runs on the processor only stays there."""


class TorchArtefact:
    """A torch module with its weights in a safetensors file.

    The module is put into evaluation mode, the plain memory layout and the precision that ``about`` names,
    which its file has too: scores are the same right after training and read back, and InstanceNorm in fp32
    is faster so on a processor.
    """

    def __init__(self, module: nn.Module, about: About | None = None) -> None:
        self._module = module.eval()
        self._about = about
        self._dtype = DTYPES["fp32" if about is None else about.precision]
        if self._dtype != torch.float32:
            module.to(self._dtype)
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    @property
    def about(self) -> About | None:
        """What it is."""
        return self._about

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        return self._module

    def predict(self, x: Tensor) -> Tensor:
        """Images to logits, in inference mode."""
        with torch.inference_mode():
            logits: Tensor = self._module(x.to(self._dtype))
            return logits.float()

    def set_threads(self, threads: int) -> None:
        """Torch has one number of threads for all."""
        torch.set_num_threads(threads)

    def save(self, path: Path) -> None:
        """Write the weights, and what they are."""
        metadata = None if self._about is None else {KEY: self._about.as_json()}
        save_model(self._module, str(path), metadata)

    def to(self, device: torch.device) -> TorchArtefact:
        """Move the module."""
        self._module.to(device)
        return self

    @classmethod
    def load(cls, build: Callable[[], nn.Module], path: Path, about: About | None = None) -> TorchArtefact:
        """Build the network and read its weights; every weight must be there and fit.

        Raises:
            ValueError: another file, or weights of another network.
        """
        artefact = cls(build(), about)
        try:
            load_model(artefact.module, str(path))
        except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
            raise ValueError(
                f"{path}: not a safetensors file with the network's weights ({_said(error)})"
            ) from None
        return artefact


class GraphArtefact:
    """A graph of another runtime; it runs on the processor.

    Args:
        about: what it is; runtime, precision and facts are the graph's.
        graph: what is kept.
        open: makes a session of it, on so many threads.
    """

    module = None

    def __init__(self, about: About, graph: Graph, open: Callable[[Graph, int], Session]) -> None:
        facts = {**about.facts, **graph.facts}
        self._about = replace(about, runtime=graph.runtime, precision=graph.precision, facts=facts)
        self._graph, self._open = graph, open
        self._session: Session | None = None
        self._threads = torch.get_num_threads()

    @property
    def about(self) -> About:
        """What it is."""
        return self._about

    @property
    def graph(self) -> Graph:
        """What it keeps."""
        return self._graph

    def open(self) -> Session:
        """Its session, which is made when it is first needed.

        Raises:
            ValueError: the runtime can't open it here.
        """
        if self._session is None:
            self._session = self._open(self._graph, self._threads)
        return self._session

    def predict(self, x: Tensor) -> Tensor:
        """Images to logits, both where ``x`` is."""
        logits = self.open().predict(x.detach().cpu().contiguous())
        return logits.float().to(x.device)

    def set_threads(self, threads: int) -> None:
        """Of its own session; torch's number has no say there."""
        self._threads = threads
        if self._session is not None:
            self._session.set_threads(threads)

    def save(self, path: Path) -> None:
        """Write the graph's parts as bytes, and what they are."""
        parts = {
            PART + name: torch.tensor(bytearray(content), dtype=torch.uint8)
            for name, content in sorted(self._graph.parts.items())
        }
        save_file(parts, str(path), {KEY: self._about.as_json()})

    def to(self, device: torch.device) -> GraphArtefact:
        """It stays on the processor."""
        return self

    @classmethod
    def load(cls, path: Path, about: About, open: Callable[[Graph, int], Session]) -> GraphArtefact:
        """Read what ``save`` wrote.

        Raises:
            ValueError: a damaged file.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                names = [name for name in file.keys() if name.startswith(PART)]  # noqa: SIM118
                parts = {name.removeprefix(PART): file.get_tensor(name).numpy().tobytes() for name in names}
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise ValueError(f"{path}: not a file with the graph of a network ({_said(error)})") from None
        if not parts:
            raise ValueError(f"{path}: holds no graph of {about.runtime}")
        graph = Graph(about.runtime, about.precision, parts, dict(about.facts))
        return cls(about, graph, open)


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
