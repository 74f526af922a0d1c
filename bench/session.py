"""Opening a study: read the data, freeze what must stay, or check that it still holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench import data
from bench.data.dataset import Dataset, keep_decoded
from bench.data.prepared import Prepared
from bench.data.splits import Split, read_splits, split_by_patient, write_splits
from bench.data.volumes import Volumes
from bench.errors import UserError
from bench.matrix import Setting
from bench.protocol import BATCH_SIZE, PROTOCOL_VERSION
from bench.runtime import can_compile, choose_device, choose_precision, visible_gpus
from bench.schema import FROZEN
from bench.store import Study


@dataclass(frozen=True)
class Wishes:
    """What the command line asked for."""

    dataset: str
    data: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    splits: Path | None = None
    workers: int | None = None
    compile: bool = True
    elsewhere: bool = False
    """Whether jobs run on other machines, whose devices this one may lack."""
    patient_key: str = ""
    micro_batch: int | None = None
    memory_gb: float | None = None
    checkpointing: bool = False


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
        """What all jobs at one image size share."""
        prepared = self.prepared(image_size, slices)
        return Setting(
            dataset=self.dataset.name,
            data=self.dataset.fingerprint,
            split=self.split.fingerprint,
            spatial_dims=prepared.spatial_dims,
            in_channels=self.dataset.in_channels,
            out_channels=self.dataset.out_channels,
            image_size=image_size,
            threads=self.settings["threads"],
            teacher_threads=self.settings.get("teacher_threads"),
            precision=self.settings["precision"],
            can_compile=self.settings["compile"],
            train_cases=prepared.samples,
            patch=prepared.patch,
            slices=slices,
            micro_batch=self.settings.get("micro_batch", BATCH_SIZE),
            checkpointing=self.settings.get("checkpointing", False),
        )

    def prepared(self, image_size: int, slices: str = "") -> Prepared | Volumes:
        """The tensors at one image size; of volumes their patches, or their axial ``slices``."""
        if self.dataset.spatial_dims == 3:
            return Volumes(self.dataset, self.split, image_size, slices)
        if slices:
            raise UserError(f"--slices {slices}: dataset {self.dataset.name} is made of slices already")
        return Prepared(self.dataset, self.split, image_size)

    def usual_size(self, wish: int) -> int:
        """The image size where none is asked for: ``wish``, but no patch that no volume fills."""
        prepared = self.prepared(wish)
        return min(wish, max(prepared.largest)) if isinstance(prepared, Volumes) else wish


def open_session(root: Path, wishes: Wishes) -> Session:
    """Open the study in ``root``; nothing is written before ``Session.begin``.

    Raises:
        UserError: data or options that differ from what the study was begun with.
    """
    study = Study(root)
    device = choose_device(wishes.device, wishes.elsewhere)
    frozen = study.settings()
    key = wishes.patient_key or (frozen or {}).get("patient_key", "")
    dataset = data.load(wishes.dataset, wishes.data, root / "cache", key)
    splits = wishes.splits or (root / "splits.json" if (root / "splits.json").is_file() else None)
    split = read_splits(splits, dataset) if splits else split_by_patient(dataset)
    if dataset.spatial_dims == 2 and len(split.train) < BATCH_SIZE:
        raise UserError(
            f"dataset {dataset.name}: {len(split.train)} training cases; one batch needs {BATCH_SIZE}"
        )
    workers = wishes.workers or (max(1, len(visible_gpus())) if device.type == "cuda" else 1)
    fresh = {
        "protocol": PROTOCOL_VERSION,
        "dataset": dataset.name,
        "data": dataset.fingerprint,
        "split": split.fingerprint,
        "synthetic": dataset.synthetic,
        "device": device.type,
        "threads": max(1, (os.cpu_count() or 1) // workers),
        "workers": workers,
        "precision": frozen["precision"]
        if frozen and wishes.precision == "auto"
        else choose_precision(wishes.precision, device),
        "compile": wishes.compile and can_compile(device),
    }
    if key:
        fresh["patient_key"] = key
    memory = {
        "micro_batch": wishes.micro_batch,
        "memory_gb": wishes.memory_gb,
        "checkpointing": wishes.checkpointing or None,
    }
    fresh |= {name: value for name, value in memory.items() if value is not None}
    if frozen is None:
        return Session(study, dataset, split, device, fresh)
    missing = [name for name in FROZEN if name not in frozen]
    if missing:
        raise UserError(
            f"{root / 'study.json'}: the key {missing[0]!r} is missing; remove it or restore it"
        )
    asked = {"protocol", "dataset", "data", "split"}
    asked |= set(memory) & set(fresh)
    asked |= {"device"} if wishes.device != "auto" else set()
    asked |= {"precision"} if wishes.precision != "auto" else set()
    asked |= set() if wishes.compile else {"compile"}
    for key in sorted(asked):
        begun = frozen.get(key, {"micro_batch": BATCH_SIZE}.get(key))
        if begun != fresh[key]:
            raise UserError(
                f"{root / 'study.json'}: the study was begun with {key} {begun!r}, "
                f"now it is {fresh[key]!r}; name another folder with --results"
            )
    return Session(study, dataset, split, choose_device(frozen["device"], wishes.elsewhere), frozen)
