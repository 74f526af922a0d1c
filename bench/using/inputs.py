"""Which inputs there are, and what the mask of each is called: files, folders, series of DICOM files.

Names come from files and folders alone, never from what is inside them, where a patient's name may stand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.data.nifti_names import ENDINGS, ending_of
from bench.errors import UserError
from bench.using import dicom
from bench.using.preprocessing import Preprocessing

PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp")
CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
"""nnU-Net's name for one channel of a case."""


@dataclass(frozen=True)
class Input:
    """One case.

    Attributes:
        name: of its mask, without ending: the path below the folder that was given, with ``/``.
        kind: what reads it.
        paths: its files: one, or one a channel, or the slices of a DICOM series.
        fault: why it can't be read, where that is known already.
    """

    name: str
    kind: Literal["image", "volume", "dicom", "series"]
    paths: tuple[Path, ...]
    fault: str = ""

    @property
    def shown(self) -> str:
        """For people, and in the list of what was done."""
        return str(self.paths[0].parent if self.kind == "series" else self.paths[0])

    def target(self, made_for: Preprocessing) -> str:
        """The path of its mask below the output folder."""
        return f"{self.name}{'.nii.gz' if made_for.of_volumes else '.png'}"


def find(given: Sequence[Path], made_for: Preprocessing, out: Path) -> tuple[list[Input], Counter[str]]:
    """The inputs in the order they were given, and endings of what was left out in folders, counted.

    Folders are searched at any depth; the output folder, and what begins with a dot, are left out.

    Raises:
        UserError: a path that is not there, or nothing to predict at all.
    """
    found: list[Input] = []
    left: Counter[str] = Counter()
    for path in given:
        if path.is_dir():
            files = _files(path, out)
            left.update(file.suffix for file in files if not _kind(file))
            found += _of_files([file for file in files if _kind(file)], path, made_for)
        elif path.is_file():
            found += _of_files([path], path.parent, made_for)
        else:
            raise UserError(
                f"{path}: no such file or folder; inputs are images, volumes or folders of them"
            )
    if not found:
        others = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in left.items())
        raise UserError(
            f"{given[0]}: nothing to predict{f' (files of other kinds: {others})' if others else ''}; the "
            f"network was made for {made_for.wanted}"
        )
    return found, left


def check_targets(found: Sequence[Input], made_for: Preprocessing, out: Path, more: Iterable[str]) -> None:
    """Refuse what would write one file twice, or over an input.

    Args:
        more: further files that are written, below ``out``.

    Raises:
        UserError: names both inputs, or the input.
    """
    inputs = {_resolved(path) for one in found for path in one.paths}
    by_target: dict[str, Input] = {}
    for one in found:
        target = one.target(made_for)
        other = by_target.setdefault(target.casefold(), one)
        if other is not one:
            raise UserError(
                f"{one.shown}: its mask would be {out / target}, as that of {other.shown}; give the folder "
                "that holds both, or rename one"
            )
    for target in [*(one.target(made_for) for one in found), *more]:
        if _resolved(out / target) in inputs:
            raise UserError(f"{out / target}: is an input; -o must name another folder")


def _resolved(path: Path) -> Path:
    return path.parent.resolve() / path.name


def _files(folder: Path, out: Path) -> list[Path]:
    """All files in a folder, sorted by path."""
    output = out.resolve()
    found = []
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if any(part.startswith(".") for part in below.parts) or not path.is_file():
            continue
        resolved = _resolved(path)
        if folder.resolve() != output and (resolved == output or output in resolved.parents):
            continue
        found.append(path)
    return found


def _kind(path: Path) -> str:
    """What reads it: ``image``, ``volume`` or ``dicom``; empty: nothing does."""
    name = path.name.lower()
    if name.endswith((*ENDINGS, ".hdr")):
        return "volume"
    if name.endswith(PICTURES):
        return "image"
    return "dicom" if dicom.looks_like_dicom(path) else ""


def _of_files(files: Sequence[Path], root: Path, made_for: Preprocessing) -> list[Input]:
    """The inputs that some files of ``root`` make up."""
    found: list[Input] = []
    slices: dict[Path, list[Path]] = {}
    channels: dict[str, list[Path]] = {}
    several = made_for.of_volumes and len(made_for.channels) > 1
    for file in files:
        kind, name = _kind(file), _name(file, root)
        if kind == "dicom" and made_for.of_volumes:
            slices.setdefault(file.parent, []).append(file)
        elif several and (match := CHANNEL.fullmatch(name)):
            channels.setdefault(match["case"], []).append(file)
        else:
            found.append(Input(name, kind or "image", (file,)))  # type: ignore[arg-type]
    for case, paths in channels.items():
        found.append(Input(case, "volume", tuple(paths), _missing_channel(case, paths, made_for)))
    for folder, paths in slices.items():
        below = folder.relative_to(root).as_posix()
        name = folder.resolve().name or "series" if below == "." else below
        series = dicom.by_series(paths)
        for number, one in enumerate(series, start=1):
            own = name if len(series) == 1 else f"{name}_{number}"
            found.append(Input(own, "series", one.paths, one.fault))
    return sorted(found, key=lambda one: one.name)


def _missing_channel(case: str, paths: Sequence[Path], made_for: Preprocessing) -> str:
    """What is wrong with nnU-Net's files of one case."""
    wanted = [f"_{channel:04}" for channel in range(len(made_for.channels))]
    there = [CHANNEL.fullmatch(_stem(path.name))["channel"] for path in paths]  # type: ignore[index]
    if [f"_{channel}" for channel in there] == wanted:
        return ""
    return (
        f"has the channels {', '.join(there)}; the network needs {', '.join(wanted)} after the case's name"
    )


def _name(file: Path, root: Path) -> str:
    below = file.relative_to(root)
    return below.with_name(_stem(below.name)).as_posix()


def _stem(name: str) -> str:
    if ending := ending_of(name):
        return name[: -len(ending)]
    return Path(name).stem if Path(name).suffix.lower() in (*PICTURES, ".hdr", *dicom.ENDINGS) else name
