"""A bundle: a folder that holds a network in another runtime and all that is needed to use it, as data.

Its layout is that of a MONAI Bundle. Ours in it is ``configs/inference.json``: which runtime, which files
of which size and content, and what happens to an image before and after. Files have fixed names, so that
none that a bundle names becomes a path, and nothing in it is run or unpickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UserError
from bench.files.checked import check, read_json
from bench.files.checksums import checksum, digest
from bench.study.schema import Text
from bench.using.network import Network
from bench.using.preprocessing import Preprocessing
from methods.artefact import About, GraphArtefact
from methods.converting import Graph, open_graph
from methods.converting.libraries import load

DESCRIPTION = "configs/inference.json"
FORMAT = 1
PARTS = {"onnxruntime": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
"""The files in ``models/`` of each runtime."""
LARGEST = 2**20
"""Bytes of a description."""
Size = Annotated[int, Field(ge=1, le=2**32)]
Count = Annotated[int, Field(ge=1, le=2**16)]


class _Part(BaseModel):
    """A file in ``models/``."""

    model_config = ConfigDict(extra="forbid")

    bytes: Size
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Described(BaseModel):
    """Of the network in ``inference.json``."""

    model_config = ConfigDict(extra="forbid")

    runtime: Literal["onnxruntime", "openvino"]
    precision: Text
    architecture: Text
    spatial_dims: Literal[2, 3]
    in_channels: Count
    out_channels: Count
    stride: Count
    parameters: int | None
    overflow_fix: bool
    instruction_set: Text
    versions: dict[Text, Text]
    parts: dict[Text, _Part]


class Inference(BaseModel):
    """``inference.json``."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    label: Text
    synthetic: bool
    network: Described
    preprocessing: dict[str, Any]


def part_of(content: bytes) -> _Part:
    """How a file's content is described."""
    return _Part(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def describe(network: Network, artefact: GraphArtefact, sums: Mapping[str, _Part]) -> dict[str, Any]:
    """What ``inference.json`` says of a network.

    Args:
        network: what it was made for.
        artefact: the graph.
        sums: of each file in ``models/``, by its name.
    """
    about, facts = artefact.about, artefact.graph.facts
    return {
        "format": FORMAT,
        "label": network.label,
        "synthetic": network.synthetic,
        "network": {
            "runtime": artefact.graph.runtime,
            "precision": artefact.graph.precision,
            "architecture": about.architecture,
            "spatial_dims": facts["spatial_dims"],
            "in_channels": facts["in_channels"],
            "out_channels": about.out_channels,
            "stride": facts["stride"],
            "parameters": about.parameters,
            "overflow_fix": bool(facts.get("overflow_fix")),
            "instruction_set": facts.get("instruction_set", ""),
            "versions": facts.get("versions", {}),
            "parts": {name: part.model_dump() for name, part in sums.items()},
        },
        "preprocessing": network.made_for.as_dict(),
    }


def is_bundle(folder: Path) -> bool:
    """Whether a folder says that it is one."""
    return (folder / DESCRIPTION).is_file()


def of_bundle(folder: Path) -> Network:
    """The network in a bundle, on the processor.

    Raises:
        UserError: no bundle, a damaged one, one of another version, or one whose runtime is not here.
    """
    where = folder / DESCRIPTION
    if where.stat().st_size > LARGEST:
        raise UserError(f"{where}: is larger than {LARGEST:,} bytes; such a file describes no network")
    said: Inference = check(Inference, read_json(where), where)
    own = said.network
    made_for = Preprocessing.from_dict(said.preprocessing, where)
    _check_fit(own, made_for, where)
    parts = _read_parts(folder, own, where)
    facts = own.model_dump(include={"spatial_dims", "in_channels", "stride", "overflow_fix", "versions"})
    facts["instruction_set"] = own.instruction_set
    about = About(
        own.architecture, own.spatial_dims, own.in_channels, own.out_channels, parameters=own.parameters
    )
    artefact = GraphArtefact(about, Graph(own.runtime, own.precision, parts, facts), open_graph)
    try:
        load(own.runtime)
        artefact.open()
    except ValueError as error:
        raise UserError(f"{folder}: {error}") from None
    weights = digest(*(own.parts[name].sha256 for name in PARTS[own.runtime]))
    return Network(said.label, artefact, made_for, weights, said.synthetic)


def _check_fit(own: Described, made_for: Preprocessing, where: Path) -> None:
    """Refuse a description that contradicts itself."""
    dims, classes = len(made_for.sides), made_for.out_channels
    if (own.spatial_dims, own.in_channels, own.out_channels) != (dims, len(made_for.channels), classes):
        raise UserError(
            f"{where}: its network has {own.spatial_dims} dimensions, {own.in_channels} channels and "
            f"{own.out_channels} outputs, its preprocessing {dims}, {len(made_for.channels)} and {classes}"
        )
    if any(side % own.stride for side in made_for.sides):
        raise UserError(
            f"{where}: sides {made_for.sides} are no multiples of the network's stride {own.stride}"
        )


def _read_parts(folder: Path, own: Described, where: Path) -> dict[str, bytes]:
    """The files in ``models/``, none larger than stated.

    Raises:
        UserError: one is missing or another.
    """
    wanted, found = PARTS[own.runtime], {}
    if set(own.parts) != set(wanted):
        raise UserError(f"{where}: names the files {', '.join(own.parts)}; must be {', '.join(wanted)}")
    for name in wanted:
        path, stated = folder / "models" / name, own.parts[name]
        if not path.is_file():
            raise UserError(f"{path}: missing; {DESCRIPTION} names it, so the bundle is not whole")
        if path.stat().st_size != stated.bytes or checksum(path) != stated.sha256:
            raise UserError(f"{path}: not what {DESCRIPTION} says (size or SHA-256); export it again")
        found[name] = path.read_bytes()
    if own.runtime == "onnxruntime":
        _check_onnx(found["model.onnx"], folder / "models" / "model.onnx")
    return found


def _check_onnx(content: bytes, path: Path) -> None:
    """Refuse a network that has its weights in further files, which it would name.

    Raises:
        UserError: it does, or is no ONNX.
    """
    try:
        model = load("onnx").load_from_string(content)
    except ValueError as error:
        raise UserError(str(error)) from None
    except Exception as error:  # what a parser makes of damaged bytes may be any
        raise UserError(f"{path}: not an ONNX file ({type(error).__name__})") from None
    if any(len(tensor.external_data) for tensor in model.graph.initializer):
        raise UserError(f"{path}: has weights in other files; a bundle's network must be one file")
