"""Files that are whole or not there, and disks that take no more.

What is written goes under a temporary name first and is renamed when it is on the disk; a kill leaves
such names behind, which the next start removes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files.liveness import started

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
"""This machine, in temporary names: of another one's process nobody here knows whether it lives."""
PARTIAL = re.compile(r"\..+\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)(\.\w+)?")
STALE_SECONDS = 24 * 3600
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_WAY = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_FOLDER = "a file lies where a folder must be: name another folder, or move the file away"
MISPLACED = {
    errno.EISDIR: "it must be a file, and a folder lies there: name another, or move the folder away",
    errno.ENOTDIR: NO_FOLDER,
    errno.EEXIST: NO_FOLDER,
    errno.ENAMETOOLONG: "name a shorter one",
}
"""What helps where a path can't be, by the system's number."""


def plain(value: Any) -> Any:
    """What JSON can hold; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a full disk or a folder that can't be written raises into one line that names ``path``."""
    try:
        yield
    except Exception as error:
        trouble = disk_trouble(error)
        if trouble is None:
            raise
        raise UserError(f"{path}: could not be written; {trouble}") from error


def disk_trouble(error: Exception) -> str | None:
    """What is wrong with the disk, if that is what the error says, and what would help.

    Safetensors has exceptions of its own, with the system's number in their text; numpy has one without.
    """
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        number = errno.ENOSPC
    if number in NO_ROOM:
        return f"{os.strerror(number).lower()}: make room and start again"
    if number in NO_WAY:
        return f"{os.strerror(number).lower()}: make it writable, or name another folder"
    if number in MISPLACED:
        return f"{os.strerror(number).lower()}: {MISPLACED[number]}"
    return None


def partial_path(path: Path) -> Path:
    """The temporary name that this process writes ``path`` under."""
    return path.with_name(f".{path.stem}.{HOST}-{os.getpid()}{path.suffix}")


def on_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(partial: Path, path: Path) -> None:
    """Rename what is whole; where folders can be synchronised the name is on the disk as well."""
    partial.replace(path)
    with contextlib.suppress(OSError):
        on_disk(path.parent)


def remove_partials(root: Path) -> None:
    """Remove what dead processes left half-written under ``root``; of other machines, what is a day old."""
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder) / name
            if not _is_left_over(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_left_over(path: Path) -> bool:
    """Whether it was half-written by a process that is dead now."""
    match = PARTIAL.fullmatch(path.name)
    return match is not None and not _still_written(path, match["host"], int(match["pid"]))


def _still_written(path: Path, host: str, pid: int) -> bool:
    if host == HOST:
        return started(pid) is not None
    try:
        changed = max(p.stat().st_mtime for p in (path, *path.glob("*")))
    except FileNotFoundError:  # it is being renamed
        return True
    return time.time() - changed < STALE_SECONDS


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically; NaN becomes null."""
    write_text(path, json.dumps(plain(content), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically.

    Raises:
        UserError: as ``write_file`` has it.
    """
    partial = partial_path(path)
    with writing(path):
        try:
            _write_and_place(partial, path, lambda own: own.write_text(text, encoding="utf-8"))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Call ``write`` with a temporary path, then put the file in place whole, or not at all.

    In a folder of its own, for libraries leave temporary files beside what they write.

    Raises:
        UserError: the disk is full, or the folder can't be written.
    """
    folder = partial_path(path)
    with writing(path):
        try:
            _write_and_place(folder / path.name, path, write)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _write_and_place(partial: Path, path: Path, write: Callable[[Path], Any]) -> None:
    partial.parent.mkdir(parents=True, exist_ok=True)
    write(partial)
    on_disk(partial)
    place(partial, path)


def write_folder(path: Path, write: Callable[[Path], Any], last: str) -> None:
    """Call ``write`` with a temporary folder, then put all of its files into ``path``.

    A folder that is not there yet appears whole or not at all. In one that is, files of the same names are
    replaced, and others stay; ``last`` is taken away first and comes last: without it nothing is whole.

    Raises:
        UserError: the disk is full, or the folder can't be written.
    """
    folder = partial_path(path)
    with writing(path):
        try:
            for old in path.parent.glob(f".{path.stem}.*"):  # of a process that was killed at it
                if _is_left_over(old):
                    shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True)
            write(folder)
            files = [found.relative_to(folder) for found in sorted(folder.rglob("*")) if found.is_file()]
            for name in files:
                on_disk(folder / name)
            if not path.exists():
                place(folder, path)
                return
            (path / last).unlink(missing_ok=True)
            for name in sorted(files, key=lambda name: name == Path(last)):
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                place(folder / name, path / name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
