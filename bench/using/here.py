"""A study's networks on the machine at hand: timed again, and INT8 scored again. Nothing is written."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import architectures
from bench.compute.device import choose_device
from bench.compute.processes import in_own_process
from bench.data.splits_file import read_splits
from bench.errors import UserError
from bench.planning.session import Session, data_again
from bench.scoring.evaluation import predict_masks, score_part, summarise
from bench.scoring.inference import Input, artefact_of, inference, inference_memory_mb, inputs_of
from bench.scoring.latency import quiet_latencies
from bench.study.store import Study
from bench.training.artefacts import fault_here
from bench.using.wishes import Limits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeenHere:
    """A study's frames as this machine has them.

    Attributes:
        summary: with INT8 scored again.
        cases: of validation, with INT8 scored again.
        latency: as ``frames.latency`` has it, of each distinct network that was asked for and can run.
        faults: why the others can't run, by the ids of their jobs.
    """

    summary: pd.DataFrame
    cases: pd.DataFrame
    latency: pd.DataFrame
    faults: dict[str, str]


def seen_here(study: Study, summary: pd.DataFrame, cases: pd.DataFrame, limits: Limits) -> SeenHere:
    """Score and measure again, on this machine, what ``limits`` asks for.

    Raises:
        UserError: no weights are in the study, or its data is neither built in nor named.
    """
    own = summary[(summary.status == "done") & summary.id.map(study.has_weights)]
    if not len(own):
        raise UserError(f"{study.root}: --here needs the networks, and no weights are in it")
    if limits.runtime:
        own = own[own.runtime == limits.runtime]
    faults = _faults(study, own, limits.side)
    able = own[~own.id.isin(faults)]
    summary, cases = _scored_again(study, able, (summary, cases), limits.data)
    return SeenHere(summary, cases, _measured(study, able.drop_duplicates("graph"), limits), faults)


def _faults(study: Study, own: pd.DataFrame, side: int | None) -> dict[str, str]:
    """Why networks can't run here, by id. One of each graph and of each processor it is for is opened."""
    found: dict[str, str] = {}
    for _, alike in own.groupby(["graph", "instruction_set"], sort=False, dropna=False):
        job = study.job(alike.id.iloc[0])
        stride = architectures.stride(job.architecture)
        fault = fault_here(artefact_of(study, job))
        if not fault and side is not None and side % stride:
            fault = f"takes sides that are multiples of {stride}, so not --side {side}"
        if fault:
            found |= dict.fromkeys(alike.id, fault)
    return found


def _measured(study: Study, own: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """Measurements of the networks of ``own``."""
    if not len(own):
        return pd.DataFrame()
    log.info(f"measuring {len(own)} networks on {limits.threads} thread(s)")
    jobs = [study.job(name) for name in own.id]
    given = [_input(study, job, limits.side) for job in jobs]
    artefacts = [artefact_of(study, job) for job in jobs]
    for artefact in artefacts:
        artefact.set_threads(limits.threads)
    cpu = torch.device("cpu")
    calls = [
        inference(artefact, job, one, cpu)
        for artefact, job, one in zip(artefacts, jobs, given, strict=True)
    ]
    rows: list[dict[str, Any]] = []
    times, busy = quiet_latencies(calls, limits.threads, cpu.type, quiet_before=True)
    for graph, job, one, values in zip(own.graph, jobs, given, times, strict=True):
        memory = None
        if limits.max_memory_mb is not None:
            memory = in_own_process(inference_memory_mb, study.root, job.id, one)
        row = {"graph": graph, "side": one.side, "volume": one.volume, "device": "cpu"}
        cost = {"latency_ms_p50": float(np.percentile(values, 50)), "peak_memory_mb": memory}
        rows.append({**row, "threads": limits.threads, "busy": busy, **cost})
    return pd.DataFrame(rows)


def _input(study: Study, job: Any, side: int | None) -> Input:
    """What is timed: an image of ``side``, the network's own, or a whole volume."""
    if side is not None:
        return Input(side, (1, job.in_channels, *[side] * job.spatial_dims))
    found = inputs_of(study, job)
    return next((one for one in found if one.volume), found[0])


def _scored_again(
    study: Study, own: pd.DataFrame, known: tuple[pd.DataFrame, pd.DataFrame], data: Path | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summary and validation cases with the INT8 networks of ``own`` scored again.

    Raises:
        UserError: the study's data is neither built in nor named.
    """
    summary, cases = known
    small = own[own.artefact_precision == "int8"]
    if not len(small):
        return summary, cases
    dataset = data_again(study, data)
    if dataset is None:
        raise UserError("--here: scores INT8 again, which needs the study's images; give --data FOLDER")
    splits = read_splits(study.root / "splits.json", dataset)
    session = Session(study, dataset, splits, choose_device("cpu"), study.settings() or {})
    summary, cases = summary.copy(), cases.copy()
    for name in small.id:
        job = study.job(name)
        part = session.prepared_for(job).val
        artefact = artefact_of(study, job)
        artefact.set_threads(torch.get_num_threads())
        masks = predict_masks(artefact.predict, part, "cpu")
        rows = score_part(masks, part, dataset.classes, surface=False)
        own = cases.id == name
        cases.loc[own, "dice"] = cases.case[own].map({row["case"]: row["dice"] for row in rows})
        before = summary.loc[summary.id == name, "dice_val"].iloc[0]
        after = summarise(rows)["dice"]
        summary.loc[summary.id == name, "dice_val"] = after
        log.info(f"{job.label}: validation Dice {after:.4f} here, {before:.4f} in its record")
    return summary, cases
