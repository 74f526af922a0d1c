"""Opening a study: read the data, freeze what must stay, or check that it still holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.compute.compiling import can_compile
from bench.compute.device import choose_device, visible_gpus
from bench.compute.runtime import first_precision
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.data.decoded import keep_decoded
from bench.data.prepared import Prepared
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split, read_splits, split_by_patient, write_splits
from bench.errors import UserError
from bench.job import FIELDS, Job, key_of
from bench.planning.options import Options
from bench.protocol import BATCH_SIZE, PROTOCOL_VERSION
from bench.study.schema import FROZEN
from bench.study.store import Study


@dataclass(frozen=True)
class Setting:
    """What all jobs of a study share at one image size.

    ``job`` has neither network nor method yet; ``teacher_threads`` are those of a teacher's training.
    """

    job: Job
    train_cases: int
    """Training samples an epoch."""
    can_compile: bool
    teacher_threads: int


@dataclass(frozen=True)
class Session:
    """An open study with its data in memory."""

    study: Study
    dataset: Dataset
    split: Split
    device: torch.device
    settings: dict[str, Any]

    def begin(self) -> None:
        """Make the study's folder if it is new: freeze its split and settings, keep decoded arrays.

        Of one that is there, what dead processes left half-done is removed.
        """
        splits = self.study.root / "splits.json"
        new = self.study.settings() is None
        if new or not splits.is_file():
            write_splits(splits, self.split)
        if new:  # after the split: with its settings a study is begun
            self.study.create(self.settings, self.dataset.synthetic)
        self.study.keep_from_git(self.dataset.synthetic)
        self.study.tidy()
        keep_decoded(self.study.root / "cache", self.dataset)

    def setting(self, image_size: int, slices: str = "") -> Setting:
        """What all jobs at one image size share; settings that are a job's fields reach it by their key."""
        prepared = self.prepared(image_size, slices)
        kept = {f.name: self.settings[key_of(f)] for f in FIELDS if key_of(f) in self.settings}
        own = {
            "spatial_dims": prepared.spatial_dims,
            "in_channels": self.dataset.in_channels,
            "out_channels": self.dataset.out_channels,
            "image_size": image_size,
            "patch": prepared.patch,
            "slices": slices,
            "architecture": "",
            "method": "",
            "parameters": (),
            "seg_loss": "",
            "seed": 0,
            "teachers": (),
            "compiled": False,
        }
        return Setting(
            job=Job(**kept | own),
            train_cases=prepared.samples,
            can_compile=self.settings["compile"],
            teacher_threads=self.settings.get("teacher_threads", self.settings["threads"]),
        )

    def prepared(self, image_size: int, slices: str = "") -> Prepared:
        """The tensors at one image size; of volumes their patches, or their axial ``slices``."""
        if self.dataset.spatial_dims == 3:
            return PreparedVolumes(self.dataset, self.split, image_size, slices)
        if slices:
            raise UserError(f"--slices {slices}: dataset {self.dataset.name} is made of slices already")
        return PreparedImages(self.dataset, self.split, image_size)

    def usual_size(self, wish: int) -> int:
        """The image size where none is asked for: ``wish``, but no patch that no volume fills."""
        return self.prepared(wish).usual_size


def open_session(root: Path, options: Options) -> Session:
    """Open the study in ``root``; nothing is written before ``Session.begin``.

    Raises:
        UserError: data or options that differ from what the study was begun with.
    """
    study = Study(root)
    device = choose_device(options.device, options.elsewhere)
    frozen = study.settings()
    key = options.patient_key or (frozen or {}).get("patient_key", "")
    dataset = datasets.load(options.dataset or "phantom", options.data, root / "cache", key)
    split = _split(root, dataset, options)
    # The name, the data and the split always must be those of the study, options where they are given.
    fixed = {
        "protocol": PROTOCOL_VERSION,
        "dataset": dataset.name,
        "data": dataset.fingerprint,
        "split": split.fingerprint,
    }
    if frozen is not None:
        asked = fixed | options.asked | ({"device": device.type} if options.device != "auto" else {})
        _check_frozen(root / "study.json", frozen, asked)
        return Session(study, dataset, split, choose_device(frozen["device"], options.elsewhere), frozen)
    workers = options.workers or (max(1, len(visible_gpus())) if device.type == "cuda" else 1)
    fresh = {
        **fixed,
        "synthetic": dataset.synthetic,
        **options.asked,
        "device": device.type,
        "threads": max(1, (os.cpu_count() or 1) // workers),
        "workers": workers,
        "precision": first_precision(options.precision, device),
        "compile": not options.no_compile and can_compile(device),
        **({"patient_key": key} if key else {}),
    }
    return Session(study, dataset, split, device, fresh)


def _split(root: Path, dataset: Dataset, options: Options) -> Split:
    """The split of ``--splits``, of the study, or a new one."""
    kept = root / "splits.json"
    path = options.splits or (kept if kept.is_file() else None)
    split = read_splits(path, dataset) if path else split_by_patient(dataset)
    if dataset.spatial_dims == 2 and len(split.train) < BATCH_SIZE:
        raise UserError(
            f"dataset {dataset.name}: {len(split.train)} training cases; one batch needs {BATCH_SIZE}"
        )
    return split


def _check_frozen(path: Path, frozen: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse what differs from the settings that a study was begun with."""
    missing = [name for name in FROZEN if name not in frozen]
    if missing:
        raise UserError(f"{path}: the key {missing[0]!r} is missing; remove it or restore it")
    for key in sorted(asked):
        begun = frozen.get(key, {"micro_batch": BATCH_SIZE}.get(key))
        if begun != asked[key]:
            raise UserError(
                f"{path}: the study was begun with {key} {begun!r}, "
                f"now it is {asked[key]!r}; name another folder with --results"
            )
