"""What a folder of 2-D images says of itself in ``dataset.json``: classes, pixel spacing, licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from bench.data.class_labels import named_labels
from bench.errors import UserError
from bench.files.checked import check, parse_json, unreadable

LONGEST = 200
"""Characters of a licence or a name."""
Millimetres = Annotated[float, Field(gt=0, lt=1e6)]


class Described(BaseModel):
    """``dataset.json``; a key that is spelled wrongly must not be left out in silence."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, Any] | None = None
    pixel_spacing: tuple[Millimetres, Millimetres] | None = None
    name: str = ""
    licence: str = ""
    license: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of a folder before its files are read.

    ``labels``: the name of each value in masks; None: the masks decide. ``spacing``: millimetres between
    rows and between columns of pixels of all images; empty: ``index.csv`` says it, or nobody.
    """

    labels: dict[int, str] | None = None
    spacing: tuple[float, ...] = ()
    note: str = ""
    licence: str = ""


def described(root: Path) -> Known:
    """What ``dataset.json`` says, if there is one.

    Raises:
        UserError: not JSON, an unknown key, labels that are no classes.
    """
    path = root / "dataset.json"
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        return Known()
    except OSError as error:
        raise UserError(unreadable(path, error)) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    found: Described = check(Described, content, path)
    labels = None if found.labels is None else named_labels(found.labels, path)
    note, licence = shown(found.name), shown(found.licence or found.license)
    return Known(labels, found.pixel_spacing or (), note, licence)


def shown(text: Any) -> str:
    """What a file says of itself, as one line that is not too long."""
    return " ".join(str(text).split())[:LONGEST]
