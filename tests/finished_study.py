"""Studies with a finished network that nobody trained: its masks are wrong, but always the same."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from samples import blank_job

import architectures
from bench.data.dataset import Dataset
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split
from bench.files import atomic
from bench.study.store import Study
from bench.using import listing
from bench.using.bundle import of_bundle
from bench.using.folder import predict_files
from bench.using.network import Network, of_study, on_threads
from bench.using.wishes import Wish
from methods.artefact import TorchArtefact

CASES = ("a", "b", "c")
SPLIT = Split(("a",), ("b",), ("c",))


def dataset_of(shape, channels=1, classes=("object",), **more) -> Dataset:
    """Random images or volumes, one a patient."""
    rng = np.random.default_rng(0)
    images = [rng.normal(100, 30, (channels, *shape)).astype(np.float32) for _ in CASES]
    return Dataset(
        name="made", cases=CASES, patients=CASES, images=images,
        masks=[(image[0] > 100).astype(np.uint8) for image in images], classes=classes,
        fingerprint="f", **more,
    )  # fmt: skip


def images(side: int = 16, **how: Any) -> PreparedImages:
    """2-D images of 20 x 28 pixels, seen at 16 x 16."""
    return PreparedImages(dataset_of((20, 28), **how), SPLIT, side)


def volumes(side: int = 16, slices: str = "", modality: str = "MRI", **how: Any) -> PreparedVolumes:
    """Volumes of 24 x 20 x 18 voxels of 1 x 1 x 2 mm."""
    modalities = (modality,) * how.get("channels", 1)
    dataset = dataset_of((24, 20, 18), modalities=modalities, spacing=((1.0, 1.0, 2.0),) * 3, **how)
    return PreparedVolumes(dataset, SPLIT, side, slices)


def finish(root: Path, prepared: Any, seed: int = 0, **changes: Any) -> tuple[Study, str]:
    """A study of one job that is done, and the job's id; ``changes`` are fields of the job."""
    study, dataset = Study(root), prepared.dataset
    job = blank_job(
        dataset="made", spatial_dims=prepared.spatial_dims, in_channels=dataset.in_channels,
        out_channels=dataset.out_channels, image_size=prepared.image_size, patch=prepared.patch,
        slices=getattr(prepared, "slices", ""), method="baseline", seg_loss="dice-bce", seed=seed,
        **({"architecture": "unet-4-8"} | changes),
    )  # fmt: skip
    study.create({"device": "cpu", "dataset": "made"}, synthetic=False)
    study.plan(job)
    torch.manual_seed(seed)
    model = architectures.build("unet-4-8", job.spatial_dims, job.in_channels, job.out_channels)
    weights = study.path("weights", job.id)
    weights.parent.mkdir(exist_ok=True)
    TorchArtefact(model).save(weights)
    scores = {"dice": 0.5, "rows": [{"case": "b", "patient": "b", "dice": 0.5}]}
    study.write_record(
        {
            "id": job.id, "status": "done", "job": job.as_dict(), "curves": [], "best_epoch": 1,
            "dice_val_last": 0.5, "val": scores, "cost": {"parameters": 1},
            "dataset": {"synthetic": False, "train_patients": 1, "classes": dataset.classes,
                        **prepared.facts()},
            "provenance": {}, "files": study.checksums(job.id),
        }
    )  # fmt: skip
    return study, job.id


def network_of(root: Path, prepared: Any, seed: int = 0) -> Network:
    """The network of such a study."""
    return of_study(*finish(root, prepared, seed))


def killed_at(moment: int, root: Path, job_id: str, given: Path, out: Path) -> None:
    """Predict, and be killed where the ``moment``-th file is about to get its name.

    The list is written after every mask.
    """
    listing.FLUSH_SECONDS = -1.0
    count = [0]
    place = atomic.place

    def placed(partial: Path, path: Path) -> None:
        count[0] += 1
        if count[0] == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        place(partial, path)

    atomic.place = placed
    predict_files(of_study(Study(root), job_id), [given], out, Wish(device="cpu"))


def on_one_core(root: Path, job_id: str, given: Path, out: Path) -> tuple[int, int]:
    """Predict in a process that may use one core: the threads of torch, and how many the list says."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(2)
    predict_files(of_study(Study(root), job_id), [given], out, Wish(device="cpu"))
    said = json.loads((out / "predictions.json").read_bytes())["computed"]["threads"]
    return torch.get_num_threads(), said


def session_on_one_core(bundle: Path) -> tuple[int, int]:
    """The threads that a bundle's network is told, and those of its runtime, in a process with one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    artefact = of_bundle(bundle).artefact
    told = on_threads(artefact, None)
    return told, artefact.open().threads
