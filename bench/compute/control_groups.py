"""What control groups (a container's, a scheduler's) leave of the machine to this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def stated(name: str, controller: str, name_before: str) -> Iterator[tuple[Path, str]]:
    """What the groups of this process and those above it say, the innermost first.

    Args:
        name: of the file, in groups of version 2.
        controller: whose groups of version 1 may have it, as the file ``name_before``.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in groups:
        _, controllers, own = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root, file = (ROOT / controller, name_before) if controllers else (ROOT, name)
        folder = root / own.strip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(root) and (place / file).is_file():
                yield place / file, (place / file).read_text().strip()
