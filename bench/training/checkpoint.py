"""A job's training as it stands after an epoch: one file in the study, so that a killed job goes on there.

It holds all that training changes: weights, the best epoch's weights, the optimiser's moments, the
schedule, the random state, the curves. The form is a safetensors file with its SHA-256 behind it; nothing
in it is unpickled. What else a job needs follows from its id: samples are a function of seed and epoch.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bench.errors import Damaged
from bench.files.atomic import write_file
from bench.files.checked import set_aside

DIGEST_BYTES = 32
FORM = 1
"""Raised when the content of the file changes; one of another form is set aside."""


@dataclass
class State:
    """What training changes.

    Attributes:
        modules: ``model``, and ``adapters`` where the method has them.
        best: the weights of the best epoch so far.
    """

    modules: Mapping[str, nn.Module]
    optimiser: Optimizer
    schedule: LRScheduler
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """What a checkpoint holds; ``facts`` is what ``save`` was given."""

    tensors: dict[str, Tensor]
    own: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """Curves, seconds and the like."""
        return dict(self.own["facts"])

    def restore(self, state: State) -> None:
        """Bring ``state`` and the random state to where they were."""
        _restore(self.tensors, self.own, state)


@dataclass(frozen=True)
class Checkpoint:
    """The file, and whose training it must hold: job, protocol, epochs and steps as ``owner`` says."""

    path: Path
    owner: Mapping[str, Any]

    def save(self, state: State, facts: Mapping[str, Any]) -> None:
        """Write it, with ``facts`` for JSON; the one before stays until this one is on the disk."""
        own = {
            "owner": {**self.owner, "form": FORM},
            "facts": dict(facts),
            "schedule": state.schedule.state_dict(),
            "learning_rates": [group["lr"] for group in state.optimiser.param_groups],
            "python": random.getstate(),
            "numpy": [part.tolist() if isinstance(part, np.ndarray) else part for part in _numpy_state()],
        }
        text = torch.frombuffer(bytearray(json.dumps(own).encode()), dtype=torch.uint8)
        tensors = {**_tensors(state), **_random(_device(state)), "facts": text}
        write_file(self.path, partial(_write, _apart(tensors)))

    def read(self, state: State) -> Kept | None:
        """What there is to go on with; None where there is nothing. What does not fit is set aside."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            tensors, own = _read(content)
            if own["owner"] != {**self.owner, "form": FORM}:
                raise Damaged("of another job, or of another version of this one")
            _check_fit(tensors, state)
        except (Damaged, SafetensorError, ValueError, LookupError, TypeError) as error:
            set_aside(self.path, str(error))
            return None
        return Kept(tensors, own)

    def remove(self) -> None:
        """The job is done."""
        self.path.unlink(missing_ok=True)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same on the CPU in rows; copies where they share memory, which safetensors does not take."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        own = value.detach().cpu().contiguous()
        where = own.untyped_storage().data_ptr()
        apart[name] = own.clone() if where in seen else own
        seen.add(where)
    return apart


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    safetensors.torch.save_file(tensors, path)
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").digest()
    with path.open("ab") as handle:
        handle.write(digest)


def _read(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise Damaged("its checksum is wrong")
    tensors = safetensors.torch.load(content)
    return tensors, json.loads(tensors.pop("facts").numpy().tobytes())


def _tensors(state: State) -> dict[str, Tensor]:
    found = {f"best/{name}": value for name, value in state.best.items()}
    for part, module in state.modules.items():
        found |= {f"{part}/{name}": value for name, value in module.state_dict().items()}
    for index, values in state.optimiser.state_dict()["state"].items():
        found |= {f"optimiser/{index}/{name}": value for name, value in values.items()}
    return found


def _device(state: State) -> torch.device:
    return next(state.modules["model"].parameters()).device


def _random(device: torch.device) -> dict[str, Tensor]:
    found = {"random/cpu": torch.get_rng_state()}
    if device.type != "cpu":
        found[f"random/{device.type}"] = getattr(torch, device.type).get_rng_state()
    return found


def _numpy_state() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return state


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _check_fit(tensors: Mapping[str, Tensor], state: State) -> None:
    """Every tensor has a place of its shape; nothing is changed before that is known."""

    def shapes(named: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in named.items()}

    expected = {part: shapes(module.state_dict()) for part, module in state.modules.items()}
    expected["best"] = expected["model"]
    expected["random"] = shapes(_part(_random(_device(state)), "random"))
    parameters = _parameters(state.optimiser)
    expected["optimiser"] = {}
    for name, value in _part(tensors, "optimiser").items():
        like = tuple(parameters[int(name.partition("/")[0])].shape)
        expected["optimiser"][name] = like if value.shape else ()
    for part, wanted in expected.items():
        if shapes(_part(tensors, part)) != wanted:
            raise Damaged(f"its {part} is not that of this job")
    if {name.partition("/")[0] for name in tensors} - set(expected):
        raise Damaged("it holds parts that this job does not have")


def _restore(tensors: Mapping[str, Tensor], own: Mapping[str, Any], state: State) -> None:
    for part, module in state.modules.items():
        module.load_state_dict(_part(tensors, part))
    model = state.modules["model"].state_dict()
    state.best = {name: _like(model[name], value) for name, value in _part(tensors, "best").items()}
    parameters = _parameters(state.optimiser)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _part(tensors, "optimiser").items():
        index, _, key = name.partition("/")
        # A fused optimiser reads moments in the memory order of the weights (channels-last ones, too).
        placed = _like(parameters[int(index)], value) if value.shape else value
        moments.setdefault(int(index), {})[key] = placed
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.schedule.load_state_dict(own["schedule"])
    for group, rate in zip(state.optimiser.param_groups, own["learning_rates"], strict=True):
        group["lr"] = rate
    version, numbers, gauss = own["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(own["numpy"]))
    for kind, value in _part(tensors, "random").items():
        (torch if kind == "cpu" else getattr(torch, kind)).set_rng_state(value)


def _like(model: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(model).copy_(value)


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
