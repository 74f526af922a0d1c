"""One inference of a job's network: on what, how it is called, how much memory it takes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

import architectures
import methods
from bench.compute.memory import peak_mb, reset_peak
from bench.job import Job
from bench.protocol import SIDES
from bench.scoring.evaluation import predict_volume
from bench.study.store import Study
from bench.training.artefacts import fresh_network
from bench.training.job_parts import load_artefact, network
from methods.artefact import Artefact, TorchArtefact, read_about


@dataclass(frozen=True)
class Input:
    """What is timed: a pass over ``shape``, or with ``volume`` a whole volume ``(1, C, *spatial)``."""

    side: int
    shape: tuple[int, ...]
    volume: bool = False


def inference_memory_mb(study_root: Path, job_id: str, given: Input) -> float:
    """Peak memory of one inference above a process that has only loaded the libraries, its runtime's too.

    For a process of its own; weights are included. Of a network whose weights are not here a fresh one's.
    """
    study = Study(study_root)
    job = study.job(job_id)
    torch.zeros(1)
    x = torch.zeros(given.shape)
    path = study.path("weights", job.id)
    about = read_about(path) if path.is_file() else None
    if about is not None and about.step:
        methods.METHODS[about.step].load_runtime(about.runtime)  # type: ignore[attr-defined]
    before = reset_peak()
    _predict(artefact_of(study, job), x, job, given)
    return peak_mb() - before


def artefact_of(study: Study, job: Job) -> Artefact:
    """The job's artefact; where its weights are absent a fresh one of the same graph."""
    return load_artefact(study, job) or TorchArtefact(network(job))


def inputs_of(study: Study, job: Job) -> list[Input]:
    """What a network is measured on: images at the study's size, 256² and 512², or a patch and a volume.

    Images of sides that the network doesn't take are left out.
    """
    own = Input(job.image_size, (1, job.in_channels, *job.shape))
    if not job.patch:
        sides = dict.fromkeys([job.image_size, *(side for side in SIDES if _takes(job, side))])
        return [Input(side, (1, job.in_channels, *[side] * job.spatial_dims)) for side in sides]
    typical = (study.record(job.id) or {})["dataset"]["volume"]
    return [own, Input(job.image_size, (1, job.in_channels, *typical), volume=True)]


def _takes(job: Job, side: int) -> bool:
    """Whether the job's network takes a square or cube of that side."""
    sides = (side,) * job.spatial_dims
    said = architectures.supports(job.architecture, job.spatial_dims, sides)
    return side % architectures.stride(job.architecture) == 0 and not said


def counted(artefact: Artefact) -> torch.nn.Module | None:
    """The torch network that it is, or was made from, in fp32; None where it says it is another."""
    about = artefact.about
    if artefact.module is not None:
        return _in_fp32(artefact.module)
    return None if about is None or about.parameters is None else fresh_network(about).eval()


def _in_fp32(module: torch.nn.Module) -> torch.nn.Module:
    """To be counted: counters feed fp32."""
    return copy.deepcopy(module).cpu().float()


def _predict(artefact: Artefact, x: torch.Tensor, job: Job, given: Input) -> torch.Tensor:
    return predict_volume(artefact.predict, x[0], job.shape) if given.volume else artefact.predict(x)


def inference(artefact: Artefact, job: Job, given: Input, device: torch.device) -> Callable[[], object]:
    """One inference, waited for."""
    x = torch.rand(*given.shape, device=device)

    def call() -> object:
        logits = _predict(artefact, x, job, given)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return logits

    return call
