"""What a folder of 2-D images says of itself in ``dataset.json``: classes, pixel spacing, licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bench.data.volume_folder import LONGEST_LICENCE, _labels
from bench.errors import UserError
from bench.files.checked import check, parse_json

Millimetres = Annotated[float, Field(gt=0, lt=1e6)]


class Described(BaseModel):
    """``dataset.json``; a key that is spelled wrongly must not be left out in silence."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, int | str] | None = None
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
    if not path.is_file():
        return Known()
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    found: Described = check(Described, content, path)
    labels = None if found.labels is None else _labels(found.labels, path)
    if labels and "background" in labels.values() and labels[0] != "background":
        raise UserError(f"{path}: labels call 0 {labels[0]!r}; 0 must be the background")
    shown = (
        " ".join(text.split())[:LONGEST_LICENCE] for text in (found.name, found.licence or found.license)
    )
    return Known(labels, found.pixel_spacing or (), *shown)
