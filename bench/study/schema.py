"""What the files of a study folder may hold: its settings, jobs, records and measurements.

Settings and jobs decide what is computed, so unknown keys are refused: they come from another version.
Records and measurements say what came out; keys that a later version added are let through unread, but
those that are read must be there and have their type. Whatever becomes part of a path is a ``Token``.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from bench.errors import UserError
from bench.files.checked import check, name_fault
from bench.job import FIELDS, Job, key_of
from bench.protocol import SEEDS

RECORD_STATUS = ("done", "failed", "blocked", "cannot-learn", "skipped")


def _name(text: str) -> str:
    fault = name_fault(text)
    if fault:
        raise ValueError(f"must be a name, but {fault}")
    return text


def _folder(text: str) -> str:
    if text in (".", "..") or "/" in text or "\\" in text:
        raise ValueError("must be a folder's name, not a path")
    return _name(text)


def _shown(text: str) -> str:
    if text and not text.isprintable():
        raise ValueError("must be printable")
    return text


Token = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]
"""Ids, fingerprints, precisions."""
Name = Annotated[str, AfterValidator(_name)]
FolderName = Annotated[str, AfterValidator(_folder)]
Text = Annotated[str, AfterValidator(_shown)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Number = Annotated[float, Field(ge=-1e18, le=1e18)] | None
"""None where there was nothing to measure."""


class Settings(TypedDict, total=False):
    """``study.json``."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    protocol: int
    dataset: FolderName
    data: Token
    split: Token
    synthetic: bool
    device: Literal["cpu", "cuda", "mps"]
    threads: Count
    teacher_threads: Count
    workers: Count
    precision: Literal["fp32", "bf16"]
    compile: bool
    patient_key: str
    patient_column: str
    folds: Annotated[int, Field(ge=2)]
    contrasts: list[Text]
    memory_gb: Annotated[float, Field(gt=0)]
    memory_probe_mb: dict[str, Number]
    measured_precision: dict[str, Any]
    measured: dict[str, Any]


FROZEN = ("protocol", "dataset", "data", "split", "device", "threads", "workers", "precision", "compile")
"""Settings that a study must have to be gone on with."""


class Open(BaseModel):
    """Keys of a later version are let through."""

    model_config = ConfigDict(extra="allow")


class _Numbers(Open):
    """Further keys are numbers, too."""

    __pydantic_extra__: dict[str, Number]


class CaseRow(_Numbers):
    """The scores of a case."""

    case: Name
    patient: Name
    dice: Number


class Scores(_Numbers):
    """Of a part of the split."""

    dice: Number
    rows: Annotated[list[CaseRow], Field(min_length=1)]


class Epoch(_Numbers):
    """A row of the learning curves."""

    epoch: Count


class Cost(Open):
    """What training took; the fields here are shown."""

    parameters: Number = None
    size_mb: Number = None
    train_seconds: Number = None
    updates: Number = None
    voxels_seen: Number = None
    peak_memory_train_mb: Number = None
    seconds: dict[str, Number] = {}


class About(Open):
    """What a record says about the data."""

    synthetic: bool
    train_patients: int
    note: str = ""
    licence: str = ""
    volume: list[Count] = []


class Origin(Open):
    """Provenance: which code made the record."""

    version: str | None = None
    fingerprint: str | None = None
    commit: str | None = None


class Shown(Open):
    """How the report shows a job."""

    method: Text
    rank: Annotated[int, Field(ge=0)] | None
    changed: Text
    graph: Text
    recipe: Text = ""


class Record(Open):
    """``records/ID.json`` of a job without a result."""

    id: Token
    status: str
    job: dict[str, Any]
    reason: str = ""
    shown: Shown | None = None


class Made(Open):
    """What a record says of the artefact."""

    runtime: Text
    precision: Text
    shape: dict[str, Any] | None = None
    facts: dict[str, Any] = {}


class DoneRecord(Record):
    """``records/ID.json`` of a job that is done."""

    curves: list[Epoch]
    best_epoch: int | None
    dice_val_last: Number
    val: Scores
    test: Scores | None = None
    cost: Cost
    dataset: About
    provenance: Origin = Origin()
    artefact: Made | None = None
    predicts: Literal["", "nothing", "everything"] = ""


OF_A_JOB = {
    "dataset": FolderName,
    **dict.fromkeys(("data", "split", "precision"), Token),
    "spatial_dims": Literal[2, 3],
    **dict.fromkeys(("in_channels", "out_channels", "image_size", "threads", "micro_batch"), Count),
    **dict.fromkeys(("architecture", "method"), Name),
    "parameters": dict[Text, Text | float | int | None],
    "checkpoint": Token | Literal[""],
    "slices": Literal["", "axial"],
    "seg_loss": Annotated[str, Field(pattern=r"^[0-9a-z-]{1,32}$")],
    "seed": Annotated[int, Field(ge=0, lt=SEEDS)],
    "teachers": tuple[Token, ...],
    "patch": tuple[Count, ...],
    "source": Token | Literal[""],
    "recipe": Text,
    "fold": Annotated[int, Field(ge=0)] | None,
    "labels": Annotated[int, Field(ge=0)] | None,
    "teacher_labels": Literal["same", "disjoint", "all"],
    "unlabelled": Literal["none", "maps"],
    "updates": Count | None,
    "plugin": Token | Literal[""],
}
"""Fields of a job that may hold less than their type in ``Job`` says."""


def _type_of(field: dataclasses.Field) -> Any:
    """What a field of a job may hold in a file."""
    return OF_A_JOB.get(key_of(field), get_type_hints(Job)[field.name])


@cache
def _settings() -> Any:
    """``Settings``, and whatever fields of jobs a study may freeze for all of its jobs."""
    frozen = {key_of(f): _type_of(f) for f in FIELDS if f.metadata.get("setting")}
    known = {**get_type_hints(Settings, include_extras=True), **frozen}
    made = TypedDict("Settings", known, total=False)  # type: ignore[misc]
    made.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return made


def check_settings(content: Any, where: object) -> dict[str, Any]:
    """What ``study.json`` holds, as it was read.

    Raises:
        UserError: an unknown key, a value of another type.
    """
    checked: dict[str, Any] = check(_settings(), content, where)
    return checked


@cache
def _job_model() -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for field in FIELDS:
        default = ... if field.default is dataclasses.MISSING else field.default
        fields[key_of(field)] = (_type_of(field), default)
    return create_model("JobFile", __config__=ConfigDict(extra="forbid"), **fields)


def check_job(content: Any, job_id: str, where: object) -> Job:
    """The job that ``where`` describes, whose id must be ``job_id``.

    Raises:
        UserError: a field that is missing, unknown or of another type, or another job.
    """
    check(_job_model(), content, f"{where}: not a job of this version")
    job = Job.from_dict(content)
    if job.id != job_id:
        raise UserError(f"{where}: describes job {job.id}, not {job_id}; remove it or restore it")
    return job


def check_record(content: Any, job_id: str, where: object) -> dict[str, Any]:
    """The record as it was read, if it is one of job ``job_id``.

    Raises:
        UserError: a field that is missing or of another type, a case twice, or another job's record.
    """
    where = f"{where}: not a record"
    done = isinstance(content, dict) and content.get("status") == "done"
    record = check(DoneRecord if done else Record, content, where)
    if record.status not in RECORD_STATUS:
        known = ", ".join(RECORD_STATUS)
        raise UserError(f"{where}: status {record.status!r} is unknown; known: {known}")
    if record.id != job_id:
        raise UserError(f"{where} of job {job_id}: its id is {record.id}; remove it or restore it")
    check_job(record.job, job_id, where)
    for part in (record.val, record.test) if done else ():
        cases = [] if part is None else [row.case for row in part.rows]
        if len(set(cases)) < len(cases):
            raise UserError(f"{where}: it holds a case twice; remove it or restore it")
    result: dict[str, Any] = content
    return result
