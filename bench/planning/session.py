"""Opening a study: read the data, freeze what must stay, or check that it still holds."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bench.compute.compiling import can_compile
from bench.compute.cores import usable_cores
from bench.compute.device import choose_device, visible_gpus
from bench.compute.runtime import first_precision
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.data.decoded import keep_decoded
from bench.data.foreground import check_foreground
from bench.data.odd_content import odd_content
from bench.data.patients import odd_patients
from bench.data.prepared import Prepared
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split, fingerprint_of, untested
from bench.data.splits_file import write_splits
from bench.errors import UserError, one_line
from bench.job import FIELDS, Job, key_of
from bench.planning.options import Options
from bench.planning.study_splits import splits_of
from bench.protocol import BATCH_SIZE, EPOCHS, PROTOCOL_VERSION, epoch_batches
from bench.study.schema import FROZEN
from bench.study.store import Study

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """What all jobs of a study share at one image size.

    ``job`` has neither network nor method yet; ``teacher_threads`` are those of a teacher's training.
    """

    job: Job
    train_cases: int
    """Training samples that make an epoch."""
    can_compile: bool
    teacher_threads: int
    folds: int = 1
    usual_updates: int | None = None
    """Those of a job that asks for none, where that is one number in all folds."""
    unlabelled: bool = False
    """Whether there are images without masks."""
    largest: tuple[int, ...] = ()
    """Of volumes the sides that no patch exceeds, one for each side of a patch."""


@dataclass(frozen=True)
class Session:
    """An open study with its data in memory."""

    study: Study
    dataset: Dataset
    splits: tuple[Split, ...]
    """One a fold; one alone where there are no folds."""
    device: torch.device
    settings: dict[str, Any]

    def begin(self) -> None:
        """Make the study's folder if it is new: freeze its split and settings, keep decoded arrays.

        Of one that is there, what dead processes left half-done is removed.
        """
        splits = self.study.root / "splits.json"
        new = self.study.settings() is None
        if new or not splits.is_file():
            write_splits(splits, self.splits)
        whose = (self.dataset.synthetic, self.dataset.may_be_shown)
        if new:  # after the split: with its settings a study is begun
            self.study.create(self.settings, *whose)
        else:
            self.study.keep_from_git(*whose)
        self.study.tidy()
        keep_decoded(self.study.root / "cache", self.dataset)

    def say_what_is_odd(self) -> None:
        """Say of the data what is odd but harmless, a line each."""
        for line in self.settings.get("warnings", ()):
            log.warning(line)

    @property
    def folds(self) -> tuple[int | None, ...]:
        """The numbers of the folds, as jobs have them."""
        return tuple(range(len(self.splits))) if len(self.splits) > 1 else (None,)

    @property
    def split(self) -> Split:
        """The split, or that of the first fold: for what is alike in all of them."""
        return self.splits[0]

    def setting(self, image_size: int, slices: str = "", fold: int | None = None) -> Setting:
        """What all jobs of a fold at one image size share.

        Settings of the study that are a job's fields reach it by their key.
        """
        prepared = self.prepared(image_size, slices, fold)
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
            "fold": fold,
            "split": self.splits[fold or 0].fingerprint,
        }
        return Setting(
            job=Job(**kept | own),
            train_cases=prepared.samples,
            can_compile=self.settings["compile"],
            teacher_threads=self.settings.get("teacher_threads", self.settings["threads"]),
            folds=len(self.splits),
            usual_updates=self._usual_updates(image_size, slices),
            unlabelled=bool(prepared.unlabelled_patients),
            largest=prepared.largest[: prepared.spatial_dims],
        )

    def _usual_updates(self, image_size: int, slices: str) -> int | None:
        """Those of the protocol, unless folds differ, or jobs of the study were planned with them typed."""
        try:
            samples = [self.prepared(image_size, slices, fold).samples for fold in self.folds]
        except UserError:  # of a fold that may not be asked for
            return None
        found = {EPOCHS * epoch_batches(count) for count in samples}
        usual = found.pop() if len(found) == 1 else None
        return None if (slices, usual) in self._typed_updates else usual

    @cached_property
    def _typed_updates(self) -> set[tuple[str, int | None]]:
        # What is usual for volumes is not for their slices, of which there are more.
        return {(job.slices, job.updates) for job in self.study.jobs()}

    def prepared_for(self, job: Job) -> Prepared:
        """The tensors that ``job`` trains on and is scored with."""
        return self.prepared(job.image_size, job.slices, job.fold)

    def prepared(self, image_size: int, slices: str = "", fold: int | None = None) -> Prepared:
        """The tensors of a fold at one image size; of volumes their patches, or their axial ``slices``."""
        split = self.splits[fold or 0]
        if self.dataset.spatial_dims == 3:
            return PreparedVolumes(self.dataset, split, image_size, slices)
        if slices:
            raise UserError(f"--slices {slices}: dataset {self.dataset.name} is made of slices already")
        return PreparedImages(self.dataset, split, image_size)

    def usual_size(self, wish: int) -> int:
        """The image size where none is asked for: ``wish``, but no patch that no volume fills.

        It is one for all folds, also for one that doesn't train on the largest volume.
        """
        return min(self.prepared(wish, fold=fold).usual_size for fold in self.folds)


def open_session(root: Path, options: Options, workers: int | None = None) -> Session:
    """Open the study in ``root``; nothing is written before ``Session.begin``.

    Args:
        workers: how many jobs at a time a matrix wishes for, of a new study only.

    Raises:
        UserError: data or options that differ from what the study was begun with.
    """
    study = Study(root)
    device = choose_device(options.device, options.elsewhere)
    frozen = study.settings()
    read = {name: value for name, value in options.asked.items() if name in ("patient_column", "affine")}
    if frozen is not None and read:  # before the data are read in another way
        _check_frozen(root / "study.json", frozen, read)
    key, column = _patients(options, frozen or {})
    affine = options.affine or (frozen or {}).get("affine", "")
    dataset = datasets.load(options.dataset or "phantom", options.data, root / "cache", key, column, affine)
    # The name, the data and the split always must be those of the study, options where they are given.
    fixed = {"protocol": PROTOCOL_VERSION, "dataset": dataset.name, "data": dataset.fingerprint}
    if frozen is not None:  # before the study's split is looked for in other data
        _check_frozen(root / "study.json", frozen, fixed)
    splits = splits_of(root, dataset, options, frozen)
    fixed["split"] = fingerprint_of(splits)
    if frozen is not None:
        asked = (
            {"split": fixed["split"]}
            | options.asked
            | ({"device": device.type} if options.device != "auto" else {})
        )
        _check_frozen(root / "study.json", frozen, asked)
        return Session(study, dataset, splits, choose_device(frozen["device"], options.elsewhere), frozen)
    workers = options.workers or workers or (max(1, len(visible_gpus())) if device.type == "cuda" else 1)
    fresh = {
        **fixed,
        "synthetic": dataset.synthetic,
        **options.asked,
        "device": device.type,
        "threads": max(1, usable_cores() // workers),
        "workers": workers,
        "precision": first_precision(options.precision, device),
        "compile": not options.no_compile and can_compile(device),
        **({"folds": len(splits)} if len(splits) > 1 else {}),
        **({"patient_key": key} if key else {}),
        **({"warnings": odd} if (odd := _odd(dataset, splits)) else {}),
    }
    return Session(study, dataset, splits, device, fresh)


def data_again(study: Study, data: Path | None) -> Dataset | None:
    """What a study was made from, read again from ``data``; None where it isn't built in and none is named.

    Raises:
        UserError: other data than the study's.
    """
    path, settings = study.root / "study.json", study.settings() or {}
    if "dataset" not in settings:
        raise UserError(f"{path}: the key 'dataset' is missing; remove it or restore it")
    if data is None and not datasets.source(settings["dataset"]).built_in:
        return None
    key, column = settings.get("patient_key", ""), settings.get("patient_column", "")
    affine = settings.get("affine", "")
    dataset = datasets.load(settings["dataset"], data, study.root / "cache", key, column, affine)
    if settings.get("protocol") != PROTOCOL_VERSION:
        log.warning(f"{path}: of another protocol version; whether its data are these can't be checked")
    elif settings.get("data") != dataset.fingerprint:
        raise UserError(
            f"{path}: the study was made from data {settings.get('data')!r}, "
            f"{f'--data {data}' if data is not None else dataset.name} is {dataset.fingerprint!r}: other "
            "images, masks or patients; name the folder that the study was made from"
        )
    return dataset


def _odd(dataset: Dataset, splits: tuple[Split, ...]) -> list[str]:
    """What is odd about the data and their split but harmless, a line each.

    Raises:
        UserError: there is nothing to learn.
    """
    odd = (*dataset.warnings, *odd_patients(dataset), *odd_content(dataset), *untested(dataset, splits))
    return [one_line(text) for text in (*odd, *check_foreground(dataset, splits))]


def _patients(options: Options, frozen: dict[str, Any]) -> tuple[str, str]:
    """The key and the column that name patients: what is asked for, else those of the study."""
    if options.patient_key or options.patient_column:
        return options.patient_key, options.patient_column
    return frozen.get("patient_key", ""), frozen.get("patient_column", "")


def _check_frozen(path: Path, frozen: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse what differs from the settings that a study was begun with."""
    missing = [name for name in FROZEN if name not in frozen]
    if missing:
        raise UserError(f"{path}: the key {missing[0]!r} is missing; remove it or restore it")
    if frozen["protocol"] != PROTOCOL_VERSION:
        raise UserError(
            f"{path}: the study is of version {frozen['protocol']} of the protocol, now it is "
            f"{PROTOCOL_VERSION}: it can be reported, not gone on with; name another folder with --results"
        )
    for key in sorted(asked):
        begun = frozen.get(key, {"micro_batch": BATCH_SIZE}.get(key))
        if begun != asked[key]:
            raise UserError(
                f"{path}: the study was begun with {key} {begun!r}, "
                f"now it is {asked[key]!r}; name another folder with --results"
            )
