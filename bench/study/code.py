"""Which code this is: the package's version, a fingerprint of its files, and their commit."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import bench
from bench.files.checksums import digest

ROOT = Path(bench.__file__).resolve().parent.parent
"""What holds the packages: a checkout, or a folder of installed packages."""
PACKAGES = ("architectures", "bench", "methods")
SUFFIXES = (".py", ".yaml")


@cache
def code() -> dict[str, Any]:
    """Version, fingerprint and commit, as they are when this process first asks.

    ``fingerprint`` tells apart any two states of the code, wherever it lies; ``commit`` is None unless the
    code lies in a repository of its own.
    """
    return {"version": bench.__version__, "fingerprint": fingerprint(ROOT), "commit": commit(ROOT)}


def fingerprint(root: Path) -> str:
    """A hash of the names and contents of the package's Python and YAML files in ``root``."""
    found = [path for name in PACKAGES for path in (root / name).rglob("*") if path.suffix in SUFFIXES]
    parts: list[bytes | str] = []
    for path in sorted(found):
        parts += [path.relative_to(root).as_posix(), path.read_bytes()]
    return digest(*parts)


def commit(root: Path) -> str | None:
    """The commit of ``root``, with ``+`` where the code differs from it.

    None where ``root`` is not the top of a repository: one that it lies in is somebody else's, as where the
    package is installed in an environment inside a user's project.
    """
    try:
        top, head = _git(root, "rev-parse", "--show-toplevel", "--short=12", "HEAD").splitlines()
        if Path(top).resolve() != root:
            return None
        return head + ("+" if _git(root, "status", "--porcelain", "--", *PACKAGES) else "")
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # Without a lock: one that is killed would leave it behind.
    return subprocess.run(
        ["git", "--no-optional-locks", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
