"""A job as a value: everything that decides its result, and the id that is a hash of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.files.checksums import digest
from bench.protocol import BATCH_SIZE, PROTOCOL_VERSION

Parameter = tuple[str, str | float | int | None]


def setting(default: Any, key: str = "") -> Any:
    """A field of ``Job`` that a study may freeze for all its jobs, in ``study.json`` under the same key."""
    return field(default=default, metadata={"setting": True} | ({"key": key} if key else {}))


@dataclass(frozen=True)
class Job:
    """One cell of the matrix with one seed.

    ``data`` and ``split`` are fingerprints; ``method`` and ``parameters`` are its own step, the last of its
    recipe, defaults filled in; ``teachers`` are the ids of the jobs whose networks teach. A field whose key
    in files is not its name says so (``key``): keys are part of ids, and stay.
    """

    dataset: str
    data: str
    split: str
    spatial_dims: int
    in_channels: int
    out_channels: int
    image_size: int
    architecture: str
    method: str
    parameters: tuple[Parameter, ...]
    seg_loss: str
    seed: int
    teachers: tuple[str, ...]
    threads: int
    precision: str
    compiled: bool
    protocol: int = PROTOCOL_VERSION
    weights: str = field(default="", metadata={"key": "checkpoint"})
    """Checksum of weights that the user gave (``--teacher``); nothing is trained then."""
    patch: tuple[int, ...] = ()
    """Sides of what networks see of a volume; empty: images of ``image_size`` a side."""
    slices: str = ""
    """``axial``: a 2-D network sees the axial slices of volumes, which are stacked back for scoring."""
    micro_batch: int = setting(BATCH_SIZE)
    """Samples in memory at a time; gradients of a batch are added up (``--micro-batch``)."""
    recompute: bool = setting(False, "checkpointing")
    """Whether block outputs are computed again for gradients instead of kept (``--checkpointing``)."""
    source: str = ""
    """Id of the job whose network this one starts from; empty: it trains one of its own."""
    fold: int | None = None
    """Which of the study's folds, from 0; None: the study has one split."""
    labels: int | None = None
    """Training patients whose labels L_seg sees; None: all of them."""
    teacher_labels: str = "same"
    """What the teacher learned from: the ``same`` patients, ``disjoint`` ones, or ``all`` of training.
    A teacher's own job says so too where that makes it another network than a plain one."""
    unlabelled: str = "none"
    """``maps``: the teacher's targets are used on training patients without labels as well."""
    updates: int | None = None
    """Updates of the weights, a multiple of the epochs; None: the protocol's number for this data."""
    learning_rate: float | None = None
    """Of a plain student, where it is tried as often as a loss's weight; None: the protocol's."""
    labels_seed: int | None = None
    """Seed that draws the patients which the job knows; None: its own. Teachers whose mean teaches know the
    labels of one draw together.
    """
    shuffled: bool = False
    """Whether it learns from the targets of other samples than its own: a control."""
    maps: str = ""
    """Checksum of probability maps that the user gave (``--teacher-maps``), which teach instead."""
    plugin: str = ""
    """Hash of the user's file that brings the step, network or dataset; empty: all are built in."""
    refit: bool = False
    """Trained on all patients to be shipped (``export --refit``): nobody is left to choose an epoch by."""
    taught_by: str = field(default="", compare=False, metadata={"derived": True})
    """Who teaches, where that is not the matrix's teacher. Follows from ``teachers``."""
    recipe: str = field(default="", compare=False, metadata={"derived": True})
    """All steps up to this one, as typed: ``pm-kd[weight=1.0] > int8``. Follows from parameters and
    sources. Empty in jobs of one step that were planned before those had it.
    """

    @property
    def id(self) -> str:
        """A hash of all fields; those with a default count only where they differ from it.

        So a new field leaves the ids of jobs alone that don't use it. The version of the protocol counts
        always.
        """
        values = {
            key_of(f): getattr(self, f.name)
            for f in FIELDS
            if f.name == "protocol" or not (_is_default(self, f) or f.metadata.get("derived"))
        }
        return digest(json.dumps(values, sort_keys=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of what the network sees."""
        return self.patch or (self.image_size,) * self.spatial_dims

    @property
    def label(self) -> str:
        """For people: architecture, recipe, what is not default, fold and seed."""
        fold = "" if self.fold is None else f" fold {self.fold}"
        return f"{self.architecture}:{self.recipe or self.method}{self.unusual}{fold} seed {self.seed}"

    @property
    def unusual(self) -> str:
        """For people: what is not default, but for recipe, fold and seed; empty or to follow a name."""
        loss = "" if self.seg_loss == "dice-bce" else f" {self.seg_loss}"
        given = " (given)" if self.weights else ""
        slices = f" {self.slices} slices" if self.slices else ""
        labels = "" if self.labels is None else f" {self.labels} labels"
        labels += "" if self.unlabelled == "none" else f", {self.unlabelled} on the others"
        labels += "" if self.labels_seed is None else f", drawn by seed {self.labels_seed}"
        teacher = "" if self.teacher_labels == "same" else f", teacher's labels {self.teacher_labels}"
        teacher += ", taught by given maps" if self.maps else ""
        teacher += f", of {self.taught_by}" if self.taught_by else ""
        teacher += ", targets shuffled" if self.shuffled else ""
        updates = "" if self.updates is None else f" {self.updates} updates"
        updates += "" if self.learning_rate is None else f" learning rate {self.learning_rate:g}"
        return f"{loss}{given}{slices}{labels}{teacher}{updates}"

    @property
    def workload(self) -> tuple[Any, ...]:
        """What makes jobs take alike, whatever their method: distilled students cost what plain ones do."""
        same = ("architecture", "spatial_dims", "image_size", "patch", "slices", "threads", "precision")
        own = (self.spec,) if self.source else ()  # what is made from a network takes its own time
        names = (*same, "compiled", "micro_batch", "recompute", "updates")
        return *own, *(getattr(self, name) for name in names)

    @property
    def keeps_last_epoch(self) -> bool:
        """Whether the last epoch's weights are kept: validation would be further labels, or is training."""
        return self.labels is not None or self.teacher_labels != "same" or self.refit

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the jobs whose networks this one needs: its teachers', and the one that it starts from."""
        return (*self.teachers, self.source) if self.source else self.teachers

    @property
    def taught(self) -> bool:
        """Whether it learns from a teacher's targets: of networks, or of given maps."""
        return bool(self.teachers or self.maps)

    @property
    def variant(self) -> str:
        """The loss variant that runs; empty for methods without one."""
        return str(dict(self.parameters).get("variant") or "")

    @property
    def spec(self) -> str:
        """The step as ``methods.build`` reads it."""
        parts = self.method.split("+")
        return "+".join(_typed(part, f"{part}." if parts[1:] else "", self.parameters) for part in parts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {key_of(f): getattr(self, f.name) for f in FIELDS} | {"parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """The inverse of ``as_dict``.

        Raises:
            TypeError, KeyError: fields missing or unknown.
        """
        names = {key_of(f): f.name for f in FIELDS}
        known = {names.get(key, f"unknown key {key}"): value for key, value in values.items()}
        return cls(
            **{
                **known,
                "parameters": tuple(sorted(values["parameters"].items())),
                "teachers": tuple(values["teachers"]),
                "patch": tuple(values.get("patch", ())),
            }
        )


FIELDS = dataclasses.fields(Job)


def key_of(field: dataclasses.Field) -> str:
    """What a field of a job is called in files."""
    return str(field.metadata.get("key", field.name))


def parameters_text(items: Iterable[tuple[str, Any]]) -> str:
    """Parameters of a method in one line, sorted by name."""
    return " ".join(f"{key}={value}" for key, value in sorted(items))


def _typed(name: str, prefix: str, parameters: Iterable[Parameter]) -> str:
    """A part of a step with its parameters, which begin with ``prefix``."""
    own = [(key, value) for key, value in parameters if key.startswith(prefix) and value is not None]
    values = ",".join(f"{key.removeprefix(prefix)}={value}" for key, value in own)
    return f"{name}[{values}]" if values else name


def _is_default(job: Job, field: dataclasses.Field) -> bool:
    return bool(getattr(job, field.name) == field.default)
