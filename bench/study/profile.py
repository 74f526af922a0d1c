"""Reading ``profile.json``: what the networks of a study cost."""

from __future__ import annotations

from typing import Any

from bench.files.checked import check, read_whole
from bench.study.schema import Profile
from bench.study.store import Study


def entry_key(entry: dict[str, Any]) -> tuple[str, int, bool, str]:
    """What tells measurements apart: graph, side, whether a whole volume, device."""
    return entry["graph"], entry["side"], entry.get("volume", False), entry["device"]


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
