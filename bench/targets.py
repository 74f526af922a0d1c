"""The teacher's targets, recorded once for the very samples that the students will see.

One pass of the teacher over all epochs of a seed's sample stream; what the methods keep of it is
stored in half precision, memory-mapped, and shared by all students. Each sample of each target is
scaled by a power of two before the cast (exactly undone after it), so that small map values don't
underflow. Above a size limit the teacher runs in the loop instead, its outputs through the same
cast, so that recorded and live students get the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.stream import SampleStream
from bench.protocol import BATCH_SIZE, EPOCHS
from bench.runtime import Runtime, compiled_or_eager
from bench.training import TargetSource
from methods import Method, Outputs

HEADROOM = 14
"""Samples are scaled so that their largest value is near 2**14; half precision ends at 65504."""


def pack(values: Tensor) -> tuple[Tensor, Tensor]:
    """``(N, ...)`` fp32 to half precision and one exponent ``(N,)`` int8 a sample."""
    largest = values.abs().flatten(1).amax(dim=1)
    _, exponent = torch.frexp(largest)
    shift = torch.where(largest > 0, HEADROOM - exponent, torch.zeros_like(exponent))
    shift = shift.clamp(-126, 126)
    scaled = torch.ldexp(values, shift.view(-1, *[1] * (values.ndim - 1)))
    return scaled.half(), shift.to(torch.int8)


def unpack(half: Tensor, shift: Tensor) -> Tensor:
    """The inverse of ``pack``, to fp32."""
    return torch.ldexp(half.float(), -shift.int().view(-1, *[1] * (half.ndim - 1)))


def live(
    teacher: nn.Module,
    methods: Sequence[Method],
    stream: SampleStream,
    runtime: Runtime,
    on_eager: Callable[[str], None] = lambda reason: None,
) -> Callable[[int, int], dict[str, tuple[Tensor, Tensor]]]:
    """(epoch, batch) to packed targets, computed by the teacher on the spot."""
    teacher.to(runtime.device).eval()

    def outputs(x: Tensor) -> tuple[Tensor, Mapping]:
        with runtime.autocast():
            return teacher.forward_intermediates(x)  # type: ignore[operator]

    def run(function: Callable[[Tensor], tuple[Tensor, Mapping]], x: Tensor) -> Outputs:
        return Outputs(*function(x))

    compute = compiled_or_eager(run, outputs, runtime, teacher, on_eager)

    def targets(epoch: int, batch: int) -> dict[str, tuple[Tensor, Tensor]]:
        x, y = stream.batch(epoch, batch)
        x, y = x.to(runtime.device), y.to(runtime.device)
        if x.ndim == 4:
            x = x.contiguous(memory_format=runtime.memory_format)
        parts: list[dict[str, Tensor]] = []
        for start in range(0, len(x), runtime.micro_batch):
            rows = slice(start, start + runtime.micro_batch)
            with torch.no_grad():
                teacher_outputs = compute(x[rows])
                parts.append(
                    {k: v for m in methods for k, v in m.targets(teacher_outputs, y[rows]).items()}
                )
        return {name: pack(torch.cat([part[name] for part in parts])) for name in parts[0]}

    return targets


def unpacked(packed: Callable[[int, int], dict[str, tuple[Tensor, Tensor]]]) -> TargetSource:
    """What the training loop reads."""
    return lambda epoch, batch: {k: unpack(*v) for k, v in packed(epoch, batch).items()}


def recorded(
    folder: Path,
    names: Sequence[str],
    compute: Callable[[int, int], dict[str, tuple[Tensor, Tensor]]],
    stream: SampleStream,
    on_epoch: Callable[[int], None] = lambda epoch: None,
    epochs: int = EPOCHS,
    alone: Callable[[], AbstractContextManager] = nullcontext,
) -> TargetSource:
    """Targets from ``folder``, recorded by ``compute`` first unless they are there whole.

    ``alone`` is entered to record: one of several processes does, the others wait there.
    """
    if not _is_whole(folder, names):
        with alone():
            if not _is_whole(folder, names):
                _record(folder, compute, stream, on_epoch, epochs)
    arrays = {
        name: (
            np.load(_path(folder, name), mmap_mode="r"),
            np.load(_path(folder, name, "shift")),
        )
        for name in names
    }

    def read(epoch: int, batch: int) -> dict[str, Tensor]:
        row = epoch * stream.steps + batch
        return {
            name: unpack(torch.from_numpy(half[row].copy()), torch.from_numpy(shift[row]))
            for name, (half, shift) in arrays.items()
        }

    return read


def _record(
    folder: Path,
    compute: Callable[[int, int], dict[str, tuple[Tensor, Tensor]]],
    stream: SampleStream,
    on_epoch: Callable[[int], None],
    epochs: int,
) -> None:
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows = epochs * stream.steps
    halves: dict[str, np.memmap] = {}
    shifts: dict[str, np.ndarray] = {}
    for epoch in range(epochs):
        for batch in range(stream.steps):
            for name, (half, shift) in compute(epoch, batch).items():
                if name not in halves:
                    halves[name] = np.lib.format.open_memmap(
                        _path(partial, name), "w+", np.float16, (rows, *half.shape)
                    )
                    shifts[name] = np.zeros((rows, BATCH_SIZE), np.int8)
                halves[name][epoch * stream.steps + batch] = half.cpu().numpy()
                shifts[name][epoch * stream.steps + batch] = shift.cpu().numpy()
        on_epoch(epoch + 1)
    for name, half_map in halves.items():
        half_map.flush()
        np.save(_path(partial, name, "shift"), shifts[name])
    names = sorted(halves)
    halves.clear()
    sums = {path.name: _checksum(path) for path in sorted(partial.glob("*.npy"))}
    (partial / "targets.json").write_text(json.dumps({"names": names, "sha256": sums}, indent=1))
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def _is_whole(folder: Path, names: Sequence[str]) -> bool:
    """Whether every name is there and every file has the checksum it was written with."""
    try:
        listing = json.loads((folder / "targets.json").read_text())
        sums = listing["sha256"]
        return set(names) <= set(listing["names"]) and all(
            _checksum(folder / file) == value for file, value in sums.items()
        )
    except (OSError, ValueError, LookupError):
        return False


def _path(folder: Path, name: str, kind: str = "half") -> Path:
    return folder / f"{name.replace('/', '.')}.{kind}.npy"


def _checksum(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def human_bytes(count: float) -> str:
    """``537 MB``."""
    power = min(4, int(math.log(max(count, 1), 1000)))
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
