"""``index.csv``: a row an image, its patient, and what else is known of it."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from bench.data.patients import Patients, nfc
from bench.errors import UserError
from bench.files.checked import check_name, unreadable

DELIMITERS = ",;\t"
STEPS = ("spacing_y", "spacing_x")
"""Columns of ``index.csv``: millimetres between rows and between columns of pixels."""


@dataclass(frozen=True)
class Row:
    """A row of ``index.csv``; ``where`` names it in errors."""

    where: str
    file: str
    patient: str
    spacing: tuple[float, ...]
    mask: str | None = None
    """What its field ``mask`` says; None: there is no such column."""

    @property
    def masked(self) -> bool:
        """Whether it must have a mask: its field is not empty."""
        return self.mask != ""


def read_index(index: Path, patients: Patients) -> list[Row]:
    """The rows of ``index.csv``; commas, semicolons or tabs between fields, blanks around them.

    Raises:
        UserError: no such table, a column that is missing, a row without what it must have.
    """
    try:
        text = index.read_bytes().decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        table = [
            (lines.line_num, [nfc(field.strip()) for field in row])
            for row in lines
            if any(map(str.strip, row))
        ]
    except OSError as error:
        raise UserError(unreadable(index, error)) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{index}: not a CSV file in UTF-8 ({error})") from None
    columns = table[0][1] if table else []
    if not patients.column and not patients.key:
        raise UserError(
            f"{index}: which column names the patient? --patient-column must be one of "
            f"{', '.join(columns)}; or --patient-key finds it in files' names"
        )
    named, steps = nfc(patients.column), _steps(index, columns, nfc(patients.column))
    for column in filter(None, ("file", named, *steps)):
        if columns.count(column) != 1:
            what = "is there twice" if column in columns else "is missing"
            raise UserError(f"{index}: column {column!r} {what}; found: {', '.join(columns)}")
    rows = []
    for line, fields in table[1:]:
        where = f"{index}: line {line}"
        if any(fields[len(columns) :]):
            raise UserError(
                f"{where} has {len(fields)} fields, the header {len(columns)}; quote commas in them"
            )
        row = dict(zip(columns, fields, strict=False))
        for needed in filter(None, ("file", named, *steps)):
            if not row.get(needed):
                raise UserError(f"{where} has no {needed}")
        file, patient = row["file"], row[named] if named else ""
        if Path(file).name != file:
            raise UserError(f"{where}: {file!r} must be a plain file name")
        for name in filter(None, (file, patient)):
            check_name(name, where)
        spacing = tuple(_step(row[step], step, where) for step in steps)
        rows.append(Row(where, file, patient, spacing, row.get("mask")))
    return rows


def _steps(index: Path, columns: list[str], patient: str) -> list[str]:
    """The columns of spacing: both or none; none that is called otherwise.

    Raises:
        UserError: one alone, or a name that nobody would read.
    """
    steps = [step for step in STEPS if step in columns]
    if len(steps) == 1:
        missing = next(step for step in STEPS if step not in columns)
        raise UserError(f"{index}: column {steps[0]!r} needs {missing!r} beside it")
    named = re.compile("^(?!.*slice).*spacing(?!.*z$)", re.IGNORECASE)
    unread = [name for name in columns if named.match(name) and name not in (*STEPS, patient)]
    if unread and not steps:
        raise UserError(
            f"{index}: column {unread[0]!r} would not be read; millimetres between rows and columns of "
            f"pixels stand in {' and '.join(STEPS)}: rename it, or leave it out"
        )
    return steps


def _delimiter(text: str) -> str:
    """What separates the fields of the header; a comma where nothing makes a column ``file``."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in DELIMITERS:
        if "file" in (field.strip() for field in next(csv.reader([header], delimiter=delimiter), [])):
            return delimiter
    return ","


def _step(text: str, column: str, where: str) -> float:
    try:
        step = float(text)
    except ValueError:
        step = math.nan
    if not 0 < step < math.inf:
        raise UserError(f"{where}: {column} {text!r} must be millimetres, e.g. 0.7")
    return step
