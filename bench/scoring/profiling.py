"""What a network costs: parameters, MACs, latency, memory.

Latency belongs to an artefact, not to the method that trained it: it is measured once per distinct shape ×
runtime × precision × device × threads × input shape, batch 1, all networks interleaved in rounds so that a
drifting machine is fair to all. Raw values are kept; percentiles are derived from them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch

import architectures
from bench import plugins
from bench.compute import quiet
from bench.compute.cores import usable_cores
from bench.compute.device import is_here
from bench.compute.macs import macs
from bench.compute.memory import peak_memory_mb
from bench.compute.processes import in_own_process
from bench.files.atomic import write_json
from bench.files.checksums import digest
from bench.job import Job
from bench.scoring.inference import Input, artefact_of, counted, inference, inference_memory_mb, inputs_of
from bench.scoring.latency import quiet_latencies
from bench.scoring.receptive_field import receptive_field
from bench.study.profile import entry_key, read_profile
from bench.study.provenance import machine
from bench.study.store import Study
from bench.training.artefacts import fault_here
from methods.artefact import About

log = logging.getLogger(__name__)

PATIENCE, MOST_PATIENCE = 0.1, 300.0
"""How long a quiet machine is waited for: a share of the seconds of training, and seconds at most."""


@dataclass
class Measured:
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
    busy: bool = False
    """Whether others used the machine while latencies were measured, so that they are too long."""
    session: str = ""
    """When measuring began, in UTC: what has the same was measured side by side."""


def graph_of(job: Job, about: About | None = None) -> str:
    """What tells artefacts apart that cost the same: architecture, shape, runtime, precision.

    Of volumes also whether they are sliced: the network is another one then. Of a plug-in's network or
    conversion also the plug-in's content, for an edited one costs something else. How it was trained, or by
    which criterion pruned, is no matter.
    """
    made_by = plugins.hash_of(
        frozenset({("architecture", job.architecture), ("method", about.step if about else "")})
    )
    name = " ".join(filter(None, (job.architecture, job.slices, made_by[:8])))
    if about is None:
        return name
    if about.shape is not None:
        name += f" {digest(json.dumps(about.shape, sort_keys=True))[:8]}"
    usual = (about.runtime, about.precision) == ("torch", "fp32")
    return name if usual else f"{name} {about.runtime} {about.precision}"


def profile(study: Study, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Measure the networks of the finished ones among ``jobs``; returns all of ``profile.json``.

    If each was measured on this machine before, nothing is; otherwise all are, in one session, on one
    thread and on all. Before that a busy machine is waited for, for a while; what is measured on one is
    marked. Networks that can't run here are skipped, each in a line.
    """
    kept = read_profile(study)
    if is_measured(study, jobs):
        return kept
    by_graph = _by_graph(study, jobs)
    wanted = _that_run(study, {key: own[0] for key, own in by_graph.items()})
    if not wanted:
        return kept
    inputs = _inputs(study, by_graph)
    settings = study.settings() or {}
    told = " and ".join(map(str, thread_counts()))
    log.info(f"profiling {len(wanted)} networks, batch 1, {told} thread(s): memory, then latency")
    quiet_before = quiet.waited_for(_patience(study, jobs))
    began = datetime.now(UTC).isoformat(timespec="seconds")
    devices = {torch.device("cpu")}
    if is_here(device := settings.get("device", "cpu")):
        devices.add(torch.device(device))
    else:
        log.warning(
            f"profiling: this machine has no {device}, which the study was made on: the processor alone"
        )
    fresh: list[Measured] = []
    for where in sorted(devices, key=str):
        own = {key: job for key, job in wanted.items() if _runs_on(study, job, where)}
        fresh += _on(where, study, own, inputs, quiet_before)
    reaches = {key: _reach(study, job) for key, job in wanted.items()}
    for measurement in fresh:
        measurement.session = began
        measurement.stride, measurement.receptive_field = reaches[measurement.graph]
    measured = [asdict(measurement) for measurement in fresh]
    # Of what was measured again nothing of another machine stays: its threads may be more than here.
    again = {entry_key(entry)[:-1] for entry in measured}
    entries = [e for e in kept if entry_key(e)[:-1] not in again] + measured
    write_json(study.root / "profile.json", {"entries": entries})
    return entries


def _on(
    where: torch.device,
    study: Study,
    jobs: Mapping[str, Job],
    inputs: Mapping[str, Sequence[Input]],
    quiet_before: bool,
) -> list[Measured]:
    """What networks take on one device, on each number of threads; ``jobs`` and ``inputs`` by graph."""
    described: list[tuple[Input, Measured]] = []
    for number, (key, job) in enumerate(jobs.items(), 1):
        log.info(f"profiling on {where.type}: memory of {key}, {number} of {len(jobs)}")
        described += [(given, _describe(study, job, key, given, where)) for given in inputs[key]]
    found: list[Measured] = []
    for threads in thread_counts() if where.type == "cpu" else thread_counts()[-1:]:
        artefacts = {key: artefact_of(study, job).to(where) for key, job in jobs.items()}
        for artefact in artefacts.values():
            artefact.set_threads(threads)
        calls = [inference(artefacts[one.graph], jobs[one.graph], given, where) for given, one in described]
        latencies, disturbed = quiet_latencies(calls, threads, where.type, quiet_before)
        for (_, one), values in zip(described, latencies, strict=True):
            memory = one.peak_memory_mb if threads == thread_counts()[-1] else None
            timed = replace(one, threads=threads, latency_ms=values, busy=disturbed, peak_memory_mb=memory)
            found.append(timed)
    return found


def is_measured(study: Study, jobs: Sequence[Job], anywhere: bool = False) -> bool:
    """Whether the networks of the finished ones among ``jobs`` were all measured on this machine.

    Those that can't run here count where others were measured. ``anywhere``: or on any other machine.
    """
    entries = [e for e in read_profile(study) if anywhere or e["machine"] == machine()]
    kept = {(*key[:3], threads) for *key, _, threads in map(entry_key, entries)}
    found = _by_graph(study, jobs)
    wanted = {
        (key, given.side, given.volume) for key, own in _inputs(study, found).items() for given in own
    }
    if anywhere:
        return wanted <= {key[:3] for key in kept}
    lacking = {key[0] for key in wanted if any((*key, threads) not in kept for threads in thread_counts())}
    if not kept:
        return not lacking
    return all(fault_here(artefact_of(study, found[graph][0])) for graph in lacking)


def _that_run(study: Study, jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Those of ``jobs`` whose networks this machine can run; of each other one it is said why it can't."""
    found = {}
    for graph, job in jobs.items():
        if fault := fault_here(artefact_of(study, job)):
            log.warning(f"profiling: {graph} is left out: {fault}")
        else:
            found[graph] = job
    return found


def thread_counts() -> list[int]:
    """One thread, and all that this process may use."""
    return sorted({1, usable_cores()})


def _patience(study: Study, jobs: Sequence[Job]) -> float:
    """Seconds that a quiet machine is waited for: a part of what the jobs took, five minutes at most."""
    costs = [(study.record(job.id) or {}).get("cost", {}) for job in jobs]
    took = sum(cost.get("train_seconds") or 0.0 for cost in costs)
    return min(MOST_PATIENCE, PATIENCE * took)


def _by_graph(study: Study, jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The finished jobs of each distinct graph, first one with weights where there is one.

    Without weights only a network can be measured that its architecture's name makes anew.
    A job's graph is what its record says.
    """
    found: dict[str, list[Job]] = {}
    for job in jobs:
        record = study.record(job.id) or {}
        if record.get("status") != "done":
            continue
        key = (record.get("shown") or {}).get("graph") or graph_of(job)
        if study.has_weights(job.id):
            found.setdefault(key, []).insert(0, job)
        elif key == graph_of(job):
            found.setdefault(key, []).append(job)
    return dict(sorted(found.items()))


def _inputs(study: Study, by_graph: Mapping[str, Sequence[Job]]) -> dict[str, list[Input]]:
    """What each graph is measured on: the inputs of all its jobs, which may be of several sizes."""
    return {
        key: list(dict.fromkeys(given for job in own for given in inputs_of(study, job)))
        for key, own in by_graph.items()
    }


def _runs_on(study: Study, job: Job, device: torch.device) -> bool:
    """Other runtimes' graphs run on the processor alone."""
    return device.type == "cpu" or artefact_of(study, job).module is not None


def _memory(study: Study, job: Job, given: Input, device: torch.device) -> float | None:
    """MB of one inference; None where a process that measures it does not come through."""
    if device.type == "cpu":
        found: float | None = in_own_process(inference_memory_mb, study.root, job.id, given)
        return found
    torch.cuda.reset_peak_memory_stats(device)
    inference(artefact_of(study, job).to(device), job, given, device)()
    return peak_memory_mb(device)


def _describe(study: Study, job: Job, key: str, given: Input, device: torch.device) -> Measured:
    """A measurement before its latency, with the memory of all threads."""
    artefact = artefact_of(study, job)
    module, about = counted(artefact), artefact.about
    weights = study.path("weights", job.id)
    cost = (study.record(job.id) or {}).get("cost", {})
    return Measured(
        architecture=job.architecture,
        graph=key,
        side=given.side,
        shape=given.shape,
        device=device.type,
        threads=0,
        precision=about.precision if about is not None else "fp32",
        backend=about.runtime if about is not None else "torch",
        parameters=cost.get("parameters"),
        macs=None if module is None or given.volume else macs(module, given.shape),
        size_mb=weights.stat().st_size / 1e6 if weights.is_file() else cost.get("size_mb"),
        peak_memory_mb=_memory(study, job, given, device),
        machine=machine(),
        latency_ms=[],
        volume=given.volume,
    )


def _reach(study: Study, job: Job) -> tuple[int | None, int | None]:
    """The network's stride, and how far it sees; of a graph that is another network neither is known."""
    module = counted(artefact_of(study, job))
    if module is None:
        return None, None
    stride = architectures.stride(job.architecture)
    return stride, receptive_field(module, stride, len(job.shape), job.in_channels)
