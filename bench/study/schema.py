"""What the files of a study folder may hold that decide what is computed: its settings and jobs.

Unknown keys are refused: they come from another version. Whatever becomes part of a path is a ``Token``.
What came out is checked in ``outcomes``.
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
    affine: Literal["sform", "qform"]
    folds: Annotated[int, Field(ge=2)]
    contrasts: list[Text]
    contrast_jobs: dict[Text, list[Token]] | list[Token]
    warnings: list[Text]
    teacher_saw: Token
    memory_gb: Annotated[float, Field(gt=0)]
    memory_probe_mb: dict[str, Number]
    measured_precision: dict[str, Any]
    measured: dict[str, Any]


FROZEN = ("protocol", "dataset", "data", "split", "device", "threads", "workers", "precision", "compile")
"""Settings that a study must have to be gone on with."""


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
    **dict.fromkeys(("recipe", "taught_by"), Text),
    "fold": Annotated[int, Field(ge=0)] | None,
    "labels": Annotated[int, Field(ge=0)] | None,
    "teacher_labels": Literal["same", "disjoint", "all"],
    "unlabelled": Literal["none", "maps"],
    "updates": Count | None,
    "learning_rate": Annotated[float, Field(gt=0, le=1)] | None,
    "labels_seed": Annotated[int, Field(ge=0, lt=SEEDS)] | None,
    **dict.fromkeys(("maps", "plugin"), Token | Literal[""]),
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
    return dict(check(_settings(), content, where))


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
