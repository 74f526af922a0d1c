"""Files that are whole or not there: half-written ones, damaged ones, disks that take no more.

What is written goes under a temporary name first and is renamed when it is on the disk; a kill leaves
such names behind, which the next start removes. What was damaged since is noticed by a checksum, named,
and renamed to ``<name>.corrupt``: never read as good, never deleted.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import Damaged, UserError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
"""This machine, in temporary names: of another one's process nobody here knows whether it lives."""
PARTIAL = re.compile(r"\..+\.(?P<host>[0-9a-f]{6})-(?P<pid>\d+)(\.\w+)?")
STALE_SECONDS = 24 * 3600
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_WAY = (errno.EROFS, errno.EACCES, errno.EPERM)

_named: set[Path] = set()


def checksum(path: Path) -> str:
    """SHA-256 of a file; of one that did not change since it is remembered."""
    status = path.stat()
    return _checksum(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _checksum(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """What JSON can hold; NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content for JSON with its ``checksum``."""
    content = plain({key: value for key, value in content.items() if key != "checksum"})
    return {**content, "checksum": _seal(content)}


def unsealed(content: Any) -> dict[str, Any]:
    """The content that ``sealed`` was given. The first records had no checksum, nor checksums of ``files``.

    Raises:
        Damaged: not that content any more.
    """
    if not isinstance(content, dict):
        raise Damaged("not an object in JSON")
    rest = {key: value for key, value in content.items() if key != "checksum"}
    if content.get("checksum", "" if "files" in rest else _seal(rest)) != _seal(rest):
        raise Damaged("its checksum is wrong")
    return rest


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def set_aside(path: Path, why: str) -> None:
    """Rename a damaged file or folder to ``<name>.corrupt``, numbered where that is taken; say so once.

    In a folder that can't be written it stays; whoever calls goes on without it all the same.
    """
    target = path.with_name(f"{path.name}.corrupt")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.corrupt{number}")
    try:
        path.rename(target)
        line = f"set aside as {target.name}"
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        if path in _named:
            return
        _named.add(path)
        line = f"left out; it could not be set aside ({error.strerror})"
    print(f"{path}: damaged, {' '.join(why.split())}; {line}", file=sys.stderr, flush=True)


def was_set_aside(path: Path) -> bool:
    """Whether something of that name was set aside."""
    return path.with_name(f"{path.name}.corrupt").exists()


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
            match, path = PARTIAL.fullmatch(name), Path(folder) / name
            if match is None or _still_written(path, match["host"], int(match["pid"])):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _still_written(path: Path, host: str, pid: int) -> bool:
    if host == HOST:
        return alive(pid)
    try:
        changed = max(p.stat().st_mtime for p in (path, *path.glob("*")))
    except FileNotFoundError:  # it is being renamed
        return True
    return time.time() - changed < STALE_SECONDS


def alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
