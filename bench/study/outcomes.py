"""What the files of a study folder may hold that say what came out of its jobs: records.

Keys that a later version added are let through unread, but those that are read must be there and have
their type. What is computed is decided by settings and jobs (``schema``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UserError
from bench.files.checked import check
from bench.study.schema import Count, Name, Number, Text, Token, check_job

RECORD_STATUS = ("done", "failed", "blocked", "cannot-learn", "skipped")


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
    before: list[dict[str, Any]] = []


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
