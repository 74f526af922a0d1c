"""The NIfTI files of a folder by their names, of which several may look like one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.patients import nfc
from bench.errors import UserError

ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Files:
    """NIfTI files by their paths below ``root`` in Unicode's NFC, and the names of others."""

    volumes: dict[str, Path]
    others: tuple[str, ...]

    def find(self, path: Path, root: Path) -> Path:
        """The file as it is stored; upper and lower case may differ where that leaves one."""
        wanted = nfc(path.relative_to(root).as_posix())
        if wanted in self.volumes:
            return self.volumes[wanted]
        near = [stored for name, stored in self.volumes.items() if name.casefold() == wanted.casefold()]
        return near[0] if len(near) == 1 else path


def files_in(root: Path, folders: Sequence[str]) -> Files:
    """What lies in some folders of ``root``, hidden files left out.

    Raises:
        UserError: two files that are one: ``a.nii`` beside ``a.nii.gz``, names that look the same.
    """
    volumes: dict[str, Path] = {}
    others: list[str] = []
    stems: dict[str, Path] = {}
    found = (p for folder in folders for p in sorted((root / folder).rglob("*")) if p.is_file())
    for path in found:
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        name = nfc(path.relative_to(root).as_posix())
        ending = ending_of(name)
        if not ending:
            others.append(name)
            continue
        stem = name[: -len(ending)]
        if stem in stems:
            first, second = (other.relative_to(root).as_posix() for other in (stems[stem], path))
            raise UserError(f"{path}: {first} and {second} are of one case; remove one")
        volumes[name] = stems[stem] = path
    return Files(volumes, tuple(others))


def ending_of(name: str) -> str:
    """The ending of a NIfTI file as it is written; empty: it is none."""
    return next((name[-len(end) :] for end in ENDINGS if name.casefold().endswith(end)), "")
