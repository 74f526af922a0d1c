"""Studies made by hand for the page: masks pushed aside by as many pixels as the job is bad."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import methods
from bench.data.dataset import Dataset
from bench.files.atomic import write_file
from bench.job import Job
from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.page.page import write_page
from bench.scoring.evaluation import overlap_scores
from bench.study.predictions import pack_masks
from bench.study.store import Study

SIZES = {"unet-64-128-256-512": 7_696_193, "unet-32-64-128": 466_177, "unet-32-64": 100_961}
HOSTILE = "</script><img src=x onerror=alert(1)>"


def make_study(root: Path, dataset: Dataset, jobs: list[Job], part: str = "test") -> Study:
    """Records and predictions of ``jobs``; the k-th job's masks are the truth moved by k % 7 pixels."""
    study = Study(root)
    study.create({"dataset": dataset.name, "synthetic": dataset.synthetic}, dataset.synthetic)
    (root / "records").mkdir(exist_ok=True)
    moved = [[np.roll(mask, shift, axis=0) for mask in dataset.masks] for shift in range(7)]
    scored = [score(dataset, masks) for masks in moved]
    for k, job in enumerate(jobs):
        masks, rows = moved[k % 7], scored[k % 7]
        dice = float(np.nanmean([row["dice"] for row in rows]))
        scores = {
            "dice": dice,
            "dice_slice": dice,
            "precision": 0.5,
            "sensitivity": 0.5,
            "hd95": 3.0,
            "nsd": 0.5,
        }
        record = {
            "id": job.id, "status": "done", "job": job.as_dict(), "best_epoch": 18, "dice_val_last": dice,
            "curves": [
                {"epoch": e, "seg": 1.5 / (e + k % 5), "loss": 1 / e, "dice_val": dice * (1 - 0.5 / e)}
                for e in range(1, 21)
            ],
            "val": {**scores, "rows": rows},
            "cost": {"parameters": SIZES.get(job.architecture, 1000 * (k + 1)), "size_mb": 0.4 + k % 11,
                     "train_seconds": 60.0 + k, "peak_memory_train_mb": 500.0},
            "dataset": {"synthetic": dataset.synthetic, "train_patients": 16, "note": dataset.note,
                        "licence": dataset.licence},
            "provenance": {"commit": "abc"},
        }  # fmt: skip
        if part == "test":
            record["test"] = record["val"]
        study.path("records", job.id).write_text(json.dumps(record).replace("NaN", "null"))
        if len(jobs) < 100:
            arrays = pack_masks(masks, dataset.cases)
            write_file(
                study.path("predictions", job.id), lambda path, a=arrays: np.savez_compressed(path, **a)
            )
    return study


def score(dataset: Dataset, masks: list[np.ndarray]) -> list[dict]:
    return [
        {"case": case, "patient": patient, **overlap_scores(mask > 0, truth > 0)}
        for case, patient, mask, truth in zip(
            dataset.cases, dataset.patients, masks, dataset.masks, strict=True
        )
    ]


def make_job(architecture: str, method: str, seed: int = 0, dims: int = 2, **parameters: object) -> Job:
    own = methods.parameters(methods.build(method)) | parameters
    return Job(
        dataset="phantom", data="d", split="s", spatial_dims=dims, in_channels=1, out_channels=1,
        image_size=64, architecture=architecture, method=method, parameters=tuple(sorted(own.items())),
        seg_loss="dice-bce", seed=seed, teachers=(), threads=2, precision="fp32", compiled=True,
    )  # fmt: skip


def write(study: Study, dataset: Dataset | None) -> Path:
    frame = frames.summary(study)
    part = "val" if frames.score_column(frame)[1] == "validation" else "test"
    scored = frames.cases(study, part)
    compared = comparisons(frame[frame.status == "done"], scored)
    return write_page(study, dataset, frame, scored, frames.curves(study), compared)


def fail(study: Study, job: Job, reason: str) -> None:
    record = {"id": job.id, "status": "failed", "reason": reason, "job": job.as_dict()}
    study.path("records", job.id).write_text(json.dumps(record))
