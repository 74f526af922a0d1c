"""What a network costs: parameters, MACs, latency, memory.

Latency belongs to an artefact, not to the method that trained it: it is measured once per distinct
graph × device × threads × input shape, batch 1, in fp32, all networks interleaved in rounds so that
a drifting machine is fair to all. Raw values are kept; percentiles are derived from them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import architectures
import methods
from bench.compute.macs import macs
from bench.compute.memory import peak_mb, peak_memory_mb, reset_peak
from bench.compute.processes import in_own_process
from bench.files.atomic import write_json
from bench.job import Job
from bench.scoring.evaluation import predict_volume
from bench.scoring.receptive_field import receptive_field
from bench.study.profile import entry_key, read_profile
from bench.study.provenance import machine
from bench.study.store import Study
from bench.training.job_parts import load_artefact, method_of, network
from methods.artefact import Artefact

log = logging.getLogger(__name__)

MIN_REPEATS, MIN_SECONDS, WARM_UP = 20, 1.0, 2
LARGE_SIDE = 512
EVERY_SECONDS = 10.0
"""Between two lines about the rounds of latencies."""


@dataclass(frozen=True)
class Input:
    """What is timed: a pass over ``shape``, or with ``volume`` a whole volume ``(1, C, *spatial)``."""

    side: int
    shape: tuple[int, ...]
    volume: bool = False


@dataclass
class Measurement:
    """One artefact on one input shape. ``latency_ms`` holds every repeat."""

    architecture: str
    graph: str
    side: int
    shape: tuple[int, ...]
    device: str
    threads: int
    precision: str
    backend: str
    parameters: int | None
    macs: int | None
    size_mb: float | None
    peak_memory_mb: float | None
    machine: dict[str, Any]
    latency_ms: list[float]
    volume: bool = False
    """A whole volume, window by window, not one pass of the network."""
    stride: int | None = None
    """The factor that sides of the input must be divisible by."""
    receptive_field: int | None = None
    """Pixels that an output pixel sees along an axis; None: the whole image, or not known."""


def graph_of(job: Job) -> str:
    """What tells artefacts apart: the architecture, and the method where it changes the network.

    Of volumes also whether they are sliced: the network is another one then.
    """
    method = methods.METHODS.get(job.method)  # a record may be of one that isn't registered here
    own = method is not None and method.finish is not methods.Method.finish
    name = f"{job.architecture} {job.slices}" if job.slices else job.architecture
    return f"{name}+{job.spec}" if own else name


def profile(study: Study, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Measure the networks of the finished ones among ``jobs``; returns all of ``profile.json``.

    If each was measured on this machine before, nothing is; otherwise all are, in one session.
    """
    kept = read_profile(study)
    if is_measured(study, jobs):
        return kept
    wanted = _representatives(study, jobs)
    inputs = {key: _inputs(study, job) for key, job in wanted.items()}
    settings = study.settings() or {}
    threads = os.cpu_count() or 1
    log.info(f"profiling {len(wanted)} networks, batch 1, {threads} thread(s): memory, then latency")
    devices = {torch.device("cpu"), torch.device(settings.get("device", "cpu"))}
    fresh: list[Measurement] = []
    for where in sorted(devices, key=str):
        session = []
        for number, (key, job) in enumerate(wanted.items(), 1):
            log.info(f"profiling on {where.type}: memory of {key}, {number} of {len(wanted)}")
            session += [_describe(study, job, key, i, where, threads) for i in inputs[key]]
        calls = [_call(study, wanted[m.graph], Input(m.side, m.shape, m.volume), where) for m in session]
        tell = Rounds(where.type)
        for measurement, values in zip(session, latencies(calls, threads, tell=tell), strict=True):
            measurement.latency_ms = values
        fresh += session
    reaches = {key: _reach(study, job) for key, job in wanted.items()}
    for measurement in fresh:
        measurement.stride, measurement.receptive_field = reaches[measurement.graph]
    measured = [asdict(measurement) for measurement in fresh]
    new = {entry_key(entry) for entry in measured}
    entries = [e for e in kept if entry_key(e) not in new] + measured
    write_json(study.root / "profile.json", {"entries": entries})
    return entries


def is_measured(study: Study, jobs: Sequence[Job], anywhere: bool = False) -> bool:
    """Whether the networks of the finished ones among ``jobs`` were all measured on this machine.

    ``anywhere``: or on any other.
    """
    kept = {entry_key(e)[:3] for e in read_profile(study) if anywhere or e["machine"] == machine()}
    wanted = _representatives(study, jobs)
    return {(key, i.side, i.volume) for key, job in wanted.items() for i in _inputs(study, job)} <= kept


def latencies(
    calls: Sequence[Callable[[], object]],
    threads: int,
    repeats: int = MIN_REPEATS,
    seconds: float = MIN_SECONDS,
    tell: Callable[[int, int], object] = lambda rounds, calls: None,
) -> list[list[float]]:
    """Milliseconds of every repeat of every call: round after round, each call once a round.

    A call drops out once it has both ``repeats`` values and ``seconds`` of measured time. ``tell`` gets the
    number of rounds after each, and how many calls are left.
    """
    torch.set_num_threads(threads)
    values: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(WARM_UP):
            call()
    open_calls, rounds = list(range(len(calls))), 0
    while open_calls:
        for k in open_calls:
            start = time.perf_counter()
            calls[k]()
            values[k].append((time.perf_counter() - start) * 1e3)
        open_calls = [k for k in open_calls if len(values[k]) < repeats or sum(values[k]) < seconds * 1e3]
        rounds += 1
        tell(rounds, len(open_calls))
    return values


class Rounds:
    """Says now and then how far the latencies are, in a line."""

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._device, self._clock, self._told = device, clock, clock()

    def __call__(self, rounds: int, calls: int) -> None:
        """After a round: how many there were, and how many calls are left."""
        now = self._clock()
        if calls and now - self._told >= EVERY_SECONDS:
            self._told = now
            log.info(
                f"profiling on {self._device}: latency, round {rounds} of at least {MIN_REPEATS}, "
                f"{calls} measurements left"
            )


def inference_memory_mb(study_root: Path, job_id: str, given: Input) -> float:
    """Peak memory of one inference above a process that has only loaded the libraries.

    For a process of its own; weights are included.
    """
    study = Study(study_root)
    job = study.job(job_id)
    torch.zeros(1)
    before = reset_peak()
    _predict(_artefact(study, job), torch.zeros(given.shape), job, given)
    return peak_mb() - before


def _representatives(study: Study, jobs: Sequence[Job]) -> dict[str, Job]:
    """One finished job per distinct graph, one with weights where there is one."""
    chosen: dict[str, Job] = {}
    for job in jobs:
        if (study.record(job.id) or {}).get("status") != "done":
            continue
        key = graph_of(job)
        if key not in chosen or (study.has_weights(job.id) and not study.has_weights(chosen[key].id)):
            chosen[key] = job
    return dict(sorted(chosen.items()))


def _artefact(study: Study, job: Job) -> Artefact:
    """The job's artefact; where its weights are absent a fresh one of the same graph."""
    trained = load_artefact(study, job)
    return trained or method_of(job).finish(network(job).eval(), iter(()))


def _inputs(study: Study, job: Job) -> list[Input]:
    """What a network is measured on: images at the study's size and at 512², or a patch and a volume."""
    own = Input(job.image_size, (1, job.in_channels, *job.shape))
    if not job.patch:
        large = Input(LARGE_SIDE, (1, job.in_channels, *[LARGE_SIDE] * job.spatial_dims))
        return [own] if large == own else [own, large]
    typical = (study.record(job.id) or {})["dataset"]["volume"]
    return [own, Input(job.image_size, (1, job.in_channels, *typical), volume=True)]


def _predict(artefact: Artefact, x: torch.Tensor, job: Job, given: Input) -> torch.Tensor:
    return predict_volume(artefact.predict, x[0], job.shape) if given.volume else artefact.predict(x)


def _describe(
    study: Study, job: Job, key: str, given: Input, device: torch.device, threads: int
) -> Measurement:
    shape = given.shape
    module = _artefact(study, job).module
    weights = study.path("weights", job.id)
    record = study.record(job.id) or {}
    if device.type == "cpu":
        memory = in_own_process(inference_memory_mb, study.root, job.id, given)
    else:
        torch.cuda.reset_peak_memory_stats(device)
        _call(study, job, given, device)()
        memory = peak_memory_mb(device)
    return Measurement(
        architecture=job.architecture,
        graph=key,
        side=given.side,
        shape=shape,
        device=device.type,
        threads=threads,
        precision="fp32",
        backend="torch",
        parameters=sum(p.numel() for p in module.parameters()) if module is not None else None,
        macs=macs(module, shape) if module is not None and not given.volume else None,
        size_mb=weights.stat().st_size / 1e6
        if weights.is_file()
        else record.get("cost", {}).get("size_mb"),
        peak_memory_mb=memory,
        machine=machine(),
        latency_ms=[],
        volume=given.volume,
    )


def _reach(study: Study, job: Job) -> tuple[int | None, int | None]:
    """The network's stride, and how far it sees; of an artefact without a module neither is known."""
    module = _artefact(study, job).module
    if module is None:
        return None, None
    stride = architectures.stride(job.architecture)
    return stride, receptive_field(module, stride, len(job.shape), job.in_channels)


def _call(study: Study, job: Job, given: Input, device: torch.device) -> Callable[[], object]:
    """One inference, waited for."""
    artefact = _artefact(study, job).to(device)
    x = torch.rand(*given.shape, device=device)

    def call() -> object:
        logits = _predict(artefact, x, job, given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return logits

    return call
