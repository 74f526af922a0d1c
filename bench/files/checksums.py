"""Short names for content, and checksums that show whether a file is as it was written."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from bench.errors import Damaged
from bench.files.atomic import plain


def checksum(path: Path) -> str:
    """SHA-256 of a file; of one that did not change since it is remembered."""
    status = path.stat()
    return _checksum(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=4096)
def _checksum(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
    if ("checksum" in content or "files" in rest) and content.get("checksum") != _seal(rest):
        raise Damaged("its checksum is wrong")
    return rest


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest(*parts: bytes | str) -> str:
    """A short name for some content."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()[:16]
