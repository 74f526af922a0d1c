"""What the record of a job holds, whatever came out of it."""

from __future__ import annotations

import math
from typing import Any

import methods
from bench.data.labels import known_to
from bench.data.prepared import Prepared
from bench.job import Job
from bench.protocol import BATCH_SIZE
from bench.scoring.profiling import graph_of
from bench.study.provenance import provenance
from bench.study.store import Study
from bench.training.loop import Trained
from methods.artefact import Artefact


def done_record(
    study: Study, job: Job, prepared: Prepared, trained: Trained, artefact: Artefact, origin: dict[str, Any]
) -> dict[str, Any]:
    """Of a job that has its network; scores are still to come.

    What training would say is empty where the weights were given.
    """
    curves = trained.curves
    module = artefact.module
    updates = trained.steps * len(curves)
    return {
        "id": job.id,
        "status": "done",
        "job": job.as_dict(),
        "shown": shown(job),
        "curves": curves,
        "best_epoch": trained.best_epoch or None,
        "dice_val_last": curves[-1]["dice_val"] if curves else None,
        "cost": {
            "parameters": None if module is None else sum(p.numel() for p in module.parameters()),
            "size_mb": study.path("weights", job.id).stat().st_size / 1e6,
            "train_seconds": trained.seconds if curves else None,
            "updates": updates,
            "voxels_seen": updates * BATCH_SIZE * math.prod(job.shape),
            "peak_memory_train_mb": trained.peak_memory_mb if curves else None,
        },
        "dataset": {
            "synthetic": prepared.dataset.synthetic,
            "note": prepared.dataset.note,
            "licence": prepared.dataset.licence,
            "classes": prepared.dataset.classes,
            **prepared.facts(),
            "train_cases": len(prepared.split.train),
            "train_patients": len(set(prepared.sample_patients)),
            "labelled_patients": len(known_to(job, prepared.sample_patients).labelled),
        },
        "provenance": origin,
    }


def failure_record(job: Job, status: str, reason: str) -> dict[str, Any]:
    """Of a job without a result."""
    return {
        "id": job.id,
        "status": status,
        "reason": reason,
        "job": job.as_dict(),
        "shown": shown(job),
        "provenance": provenance(job),
    }


def shown(job: Job) -> dict[str, Any]:
    """How the report shows the job, which has neither networks nor methods to ask.

    ``method``: its name on axes; ``rank``: its place among the methods; ``changed``: those of its
    parameters that are not the default; ``graph``: whose measurements in ``profile.json`` are its own.
    """
    method = methods.METHODS.get(job.method)
    return {
        "method": method.label if method is not None and method.label else job.method,
        "rank": methods.names().index(job.method) if method is not None else None,
        "changed": methods.unusual(job.method, job.parameters),
        "graph": graph_of(job),
    }
