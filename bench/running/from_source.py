"""What is made from a trained network: its shape changed and trained on, or converted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench.errors import UserError
from bench.running.training import train_rounds
from bench.running.work import Work, calibration_facts, material
from bench.training.artefacts import about_of, fresh_network
from bench.training.job_parts import load_artefact, step_of
from bench.training.loop import Trained
from methods.artefact import About, Artefact, TorchArtefact, parameters_of
from methods.converting.agreement import DIFFERENCE, differences, tolerance
from methods.converting.steps import COMPARED

log = logging.getLogger(__name__)

T = TypeVar("T")

EXACT = "fp32"


def source_of(work: Work) -> tuple[nn.Module, About]:
    """The trained network that the job starts from, on the processor.

    Raises:
        UserError: it is not here, or is no torch network.
    """
    source = work.study.job(work.job.source)
    path = work.study.path("weights", source.id)
    artefact = load_artefact(work.study, source)
    if artefact is None:
        raise UserError(f"{path}: the weights of {source.label} are missing; run it again")
    if artefact.module is None:
        raise UserError(f"{path}: {source.label} is no torch network any more; only such can be changed")
    about = artefact.about
    if about is None or not about.data:  # of an earlier version, or given: the study knows what it is
        about = replace(about_of(source, work.prepared), shape=None if about is None else about.shape)
    return artefact.module, replace(about, parameters=parameters_of(artefact.module))


def converted(work: Work) -> tuple[Trained, Artefact, dict[str, Any]]:
    """The source's network, converted; how far it is from that, and what it looked at.

    Raises:
        UserError: it is said to compute in fp32, and differs from torch.
    """
    module, about = source_of(work)
    step, given = step_of(work.job), material(work)
    looked_at = [0]

    def images(at_most: int) -> list[Tensor]:
        found = given.images(at_most)
        looked_at[0] = max(looked_at[0], len(found))
        return found

    with work.reporter.phases.time("converting"):
        artefact = _taken(work, step.convert, module, about, replace(given, images=images))
        artefact.set_threads(work.job.threads)
        found = dict(artefact.about.facts)
        if DIFFERENCE not in found:
            compared_on = given.images(COMPARED[work.job.spatial_dims])
            found |= differences(artefact.predict, TorchArtefact(module).predict, compared_on)
    largest, allowed = found[DIFFERENCE], tolerance(artefact.about.runtime)
    if artefact.about.precision == EXACT and not largest <= allowed:
        raise UserError(
            f"{work.job.label}: its logits differ from torch's by {largest:.2g} on calibration images; in "
            f"{EXACT} they must agree within {allowed:g}"
        )
    if looked_at[0]:
        found["calibration"] = calibration_facts(work, looked_at[0])
    return Trained(module), artefact, found


def _taken(work: Work, take: Callable[..., T], *arguments: Any) -> T:
    """What a step gives; what it refuses in one line."""
    try:
        return take(*arguments)
    except ValueError as error:
        raise UserError(f"{work.job.label}: {error}") from error


def reshaped(work: Work) -> tuple[Trained, Artefact, dict[str, Any]]:
    """The source's network with its shape changed, trained on with the same losses."""
    module, about = source_of(work)
    step = step_of(work.job)
    torch.manual_seed(work.job.seed)
    with work.reporter.phases.time("reshaping"):
        network, shape = _taken(work, step.reshape, module, material(work))
    shape = about.shape if shape is None else shape
    if step.fresh:
        torch.manual_seed(work.job.seed)
        network = fresh_network(replace(about, shape=shape))
    if shape is not None:
        log.info(f"{parameters_of(network):,} of {parameters_of(module):,} parameters left")
    trained = train_rounds(work, network)
    made = replace(about, shape=shape, parameters=parameters_of(network))
    return trained, TorchArtefact(trained.model, made), {}
