"""What the record of a job holds, whatever came out of it."""

from __future__ import annotations

import logging
import math
from typing import Any

import methods
from bench.data.labels import known_to
from bench.data.prepared import Prepared
from bench.job import Job
from bench.protocol import BATCH_SIZE
from bench.running.work import Work
from bench.scoring.profiling import graph_of
from bench.study.learning import doubts
from bench.study.provenance import provenance
from bench.study.store import Study, failure
from bench.training.artefacts import about_of
from bench.training.loop import Trained
from methods.artefact import About, Artefact, parameters_of

log = logging.getLogger(__name__)


def done_record(
    work: Work, trained: Trained, artefact: Artefact, facts: dict[str, Any], origin: dict[str, Any]
) -> dict[str, Any]:
    """Of a job that has its network; scores are still to come.

    What training would say is empty where there was none. ``facts`` are what its step says of what it made.
    """
    study, job, prepared, curves = work.study, work.job, work.prepared, trained.curves
    known, about = study.trained(job), artefact.about or about_of(job, prepared)
    module = artefact.module
    count = about.parameters if module is None else parameters_of(module)
    updates = trained.steps * len(curves) * trained.rounds
    return {
        "id": job.id,
        "status": "done",
        "job": job.as_dict(),
        "shown": shown(job, about),
        "artefact": {
            "runtime": about.runtime,
            "precision": about.precision,
            "shape": about.shape,
            **({"facts": facts} if facts else {}),
        },
        "curves": curves,
        "best_epoch": trained.best_epoch or None,
        "dice_val_last": curves[-1]["dice_val"] if curves else None,
        "cost": {
            "parameters": count,
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
            **_known(known, prepared),
        },
        "provenance": origin,
    }


def made_again(study: Study, before: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The record of a job whose weights were not kept and are made again; ``before``: what it was.

    Where they come out bit by bit as they were, as on the same machine, the old record stands. Else what
    was made from the old ones, students of a teacher, say, comes from a network that is no more: ``before``
    says in the new record what there was.
    """
    job_id, old = record["id"], before.get("files", {}).get("weights")
    if old is not None and old == study.checksums(job_id)["weights"]:
        return before
    log.warning(
        f"{Job.from_dict(record['job']).label}: made again, and came out otherwise than before; what was "
        "made from the earlier network may stand beside what is made from this one"
    )
    scores = {part: before[part]["dice"] for part in ("val", "test") if part in before}
    kept = {"weights": old, "dice": scores, "provenance": before.get("provenance", {})}
    return {**record, "before": [*before.get("before", []), kept]}


def ending(record: dict[str, Any]) -> str:
    """How a job has ended, in a line: why it has no result, or its score and what makes that doubtful."""
    if why := failure(record):
        return why
    return "; ".join([f"done, validation Dice {record['val']['dice']:.4f}", *doubts(record)])


def _known(job: Job, prepared: Prepared) -> dict[str, int]:
    """How many patients the job knew by their labels; and how many images without masks it saw, if any."""
    known = known_to(job, prepared.sample_patients, prepared.unlabelled_patients)
    further = sum(patient in known.unlabelled for patient in prepared.unlabelled_patients)
    return {"labelled_patients": len(known.labelled)} | ({"unlabelled_images": further} if further else {})


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


def shown(job: Job, about: About | None = None) -> dict[str, Any]:
    """How the report shows the job, which has neither networks nor methods to ask.

    ``about``: what it made, where it has made something.

    ``method``: its name on axes; ``rank``: its place among the methods; ``changed``: those of its
    parameters that are not the default; ``recipe``: all steps up to its own; ``graph``: whose measurements
    in ``profile.json`` are its own.
    """
    try:
        step = methods.build(job.spec)
    except ValueError:  # of a plug-in that is not here
        step = None
    known = list(methods.METHODS)
    return {
        "method": step.label if step is not None and step.label else job.method,
        "rank": known.index(job.method) if job.method in known else None,
        "changed": methods.unusual(job.method, job.parameters),
        "recipe": job.recipe or (job.method if step is None else methods.text(step)),
        "graph": graph_of(job, about),
    }
