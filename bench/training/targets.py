"""The teacher's targets, recorded once for the very samples that the students will see.

One pass of the teacher over all epochs of a seed's sample stream; what the methods keep of it is
stored in half precision, memory-mapped, and shared by all students. Each sample of each target is
scaled by a power of two before the cast (exactly undone after it), so that small map values don't
underflow. Above a size limit the teacher runs in the loop instead, its outputs through the same
cast, so that recorded and live students get the same bits.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from bench.compute.compiling import compiled_or_eager
from bench.compute.runtime import Runtime
from bench.data.prepared_maps import logits_of
from bench.data.stream import SampleStream
from bench.files.atomic import on_disk, partial_path, place, write_json, writing
from bench.files.checked import read_whole, set_aside
from bench.files.checksums import checksum, sealed
from bench.protocol import BATCH_SIZE
from bench.study.reporter import Reporter
from bench.training.step import Targets, TargetSource
from methods import Method, Outputs, outputs_of

PackedSource = Callable[[int, int], dict[str, tuple[Tensor, Tensor]]]
"""(epoch, batch) to targets by name, packed."""
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
    powers = torch.ldexp(torch.ones(len(shift), device=half.device), -shift.int())
    return half.float() * powers.view(-1, *[1] * (half.ndim - 1))


def live(
    teacher: nn.Module,
    methods: Sequence[Method],
    stream: SampleStream,
    runtime: Runtime,
    on_eager: Callable[[str], None] = lambda reason: None,
) -> PackedSource:
    """(epoch, batch) to packed targets, computed by the teacher on the spot."""
    teacher.to(runtime.device).eval()
    with_taps = any(method.needs_taps for method in methods)

    def outputs(x: Tensor) -> tuple[Tensor, Mapping]:
        with runtime.autocast():
            return outputs_of(teacher, x, with_taps)

    def run(function: Callable[[Tensor], tuple[Tensor, Mapping]], x: Tensor) -> Outputs:
        return Outputs(*function(x))

    compute = compiled_or_eager(run, outputs, runtime, teacher, on_eager)
    return _kept_of(compute, methods, stream, runtime)


def of_maps(maps: SampleStream, methods: Sequence[Method], runtime: Runtime) -> PackedSource:
    """(epoch, batch) to packed targets of given maps: ``maps`` has them where its students' has images."""
    return _kept_of(lambda x: Outputs(logits_of(x), {}), methods, maps, runtime)


def _kept_of(
    compute: Callable[[Tensor], Outputs], methods: Sequence[Method], stream: SampleStream, runtime: Runtime
) -> PackedSource:
    """(epoch, batch) to what the methods keep of the outputs, packed."""

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


def unpacked(packed: PackedSource) -> TargetSource:
    """What the training loop reads."""
    return lambda epoch, batch: {k: unpack(*v) for k, v in packed(epoch, batch).items()}


def recorded(
    folder: Path,
    names: Sequence[str],
    compute: PackedSource,
    stream: SampleStream,
    reporter: Reporter | None = None,
    alone: Callable[[], AbstractContextManager] = nullcontext,
) -> Targets:
    """Targets from ``folder``, recorded by ``compute`` first unless they are there whole.

    ``alone`` is entered to record: one of several processes does, the others wait there. What was killed in
    the middle of recording is recorded again; what is damaged is set aside first.
    """
    rows = stream.epochs * stream.steps
    if not _is_whole(folder, names, rows):
        with alone(), writing(folder):
            if not _is_whole(folder, names, rows):
                partial = partial_path(folder)
                try:
                    _record(partial, compute, stream, reporter or Reporter())
                    _put_in_place(partial, folder, names, rows)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
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

    return Targets(read)


def _record(
    folder: Path,
    compute: PackedSource,
    stream: SampleStream,
    reporter: Reporter,
) -> None:
    """Write all epochs, batch after batch: not through a map, where a full disk would kill the process."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = stream.epochs * stream.steps
    shifts: dict[str, np.ndarray] = {}
    with contextlib.ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for epoch in range(stream.epochs):
            for batch in range(stream.steps):
                for name, (half, shift) in compute(epoch, batch).items():
                    if name not in files:
                        files[name] = stack.enter_context(_path(folder, name).open("wb"))
                        form = {"descr": "<f2", "fortran_order": False, "shape": (rows, *half.shape)}
                        np.lib.format.write_array_header_1_0(files[name], form)
                        shifts[name] = np.zeros((rows, BATCH_SIZE), np.int8)
                    files[name].write(half.contiguous().cpu().numpy().tobytes())
                    shifts[name][epoch * stream.steps + batch] = shift.cpu().numpy()
            reporter.epoch("targets", {"epoch": epoch + 1})
    for name, values in shifts.items():
        np.save(_path(folder, name, "shift"), values)
    sums = {}
    for path in sorted(folder.glob("*.npy")):
        on_disk(path)
        sums[path.name] = checksum(path)
    write_json(folder / "targets.json", sealed({"names": sorted(shifts), "rows": rows, "sha256": sums}))


def _put_in_place(partial: Path, folder: Path, names: Sequence[str], rows: int) -> None:
    """Replace what is there, which lacks something; not what another process has just recorded."""
    if folder.exists() and not _is_whole(folder, names, rows):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        place(partial, folder)
    except OSError:
        if not _is_whole(folder, names, rows):
            raise


def _is_whole(folder: Path, names: Sequence[str], rows: int) -> bool:
    """Whether every name is there, for ``rows`` batches, each file with the checksum it was written with.

    A recording that is not as it was written is set aside.
    """
    if not folder.is_dir():
        return False
    try:
        listing = read_whole(folder / "targets.json")
        if listing is None:
            raise ValueError("no readable targets.json in it")
        for file, value in listing["sha256"].items():
            if checksum(folder / file) != value:
                raise ValueError(f"the checksum of {file} is wrong")
        return set(names) <= set(listing["names"]) and listing["rows"] == rows
    except (OSError, ValueError, LookupError) as error:
        set_aside(folder, str(error))
        return False


def _path(folder: Path, name: str, kind: str = "half") -> Path:
    return folder / f"{name.replace('/', '.')}.{kind}.npy"
