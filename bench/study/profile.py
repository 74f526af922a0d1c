"""Reading ``profile.json``: what the networks of a study cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from bench.files.checked import check, read_whole
from bench.study.outcomes import Open
from bench.study.schema import Count, Number
from bench.study.store import Study


class Machine(Open):
    """Where something was measured."""

    cpu: str | None
    gpu: str | None


class Measurement(Open):
    """An entry of ``profile.json``."""

    graph: str
    side: int
    shape: list[int]
    device: str
    machine: Machine
    latency_ms: Annotated[list[Annotated[float, Field(gt=0, le=1e12)]], Field(min_length=1)]
    macs: Number
    peak_memory_mb: Number
    stride: Count | None = None
    receptive_field: Count | None = None
    volume: bool = False
    threads: int | None = None
    busy: bool = False
    session: str = ""


class Profile(Open):
    """``profile.json``."""

    entries: list[Measurement]


Key = tuple[str, int, bool, str, int]


def entry_key(entry: dict[str, Any]) -> Key:
    """What tells measurements apart: graph, side, whether a whole volume, device, threads."""
    own = entry["graph"], entry["side"], entry.get("volume", False), entry["device"]
    return *own, entry.get("threads") or 0


def on_most_threads(entries: Iterable[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    """Of each graph, side and device the measurement on most threads, its key without them (0)."""
    found: dict[Key, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: entry.get("threads") or 0):
        found[*entry_key(entry)[:4], 0] = entry
    return found


def read_profile(study: Study) -> list[dict[str, Any]]:
    """The entries of ``profile.json``, none where there is no file.

    Raises:
        UserError: not JSON, or not such entries.
    """
    path = study.root / "profile.json"
    content = read_whole(path)
    if content is None:
        return []
    check(Profile, content, path)
    return list(content["entries"])
