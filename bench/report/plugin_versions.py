"""Which version of a plug-in made a job, said where a study holds several of what is otherwise alike.

A user who mends a plug-in gets new jobs beside the old ones. A mean over both would be of neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def plugin_versions(frame: pd.DataFrame, alike: Sequence[str]) -> list[str]:
    """``plug-in 1a2b3c`` of each job that has a twin by another version; else an empty text.

    Args:
        frame: a row a job, with ``id``, ``plugin`` (the hash of its content, or an empty text),
            ``teachers`` and ``source`` (ids).
        alike: columns that jobs of different versions agree in, fold and seed among them or not.
    """
    needs = (frame.teachers.fillna("") + " " + frame.source.fillna("")).str.split()
    needed = dict(zip(frame.id, needs, strict=True))
    own = dict(zip(frame.id, frame.plugin.fillna(""), strict=True))

    def behind(job: str) -> tuple[str, ...]:
        """The job's own version first, then those of its source and teachers."""
        others = [hash_ for one in needed.get(job, ()) for hash_ in behind(one)]
        return own.get(job, ""), *sorted(set(others))

    versions = frame.id.map(behind)
    told = pd.Series("", index=frame.index)
    for _, group in versions.groupby([frame[name] for name in alike], dropna=False):
        everywhere = set.intersection(*map(set, group))
        if group.nunique() > 1:
            told[group.index] = [_text(each, everywhere) for each in group]
    return list(told)


def _text(version: Sequence[str], everywhere: set[str]) -> str:
    telling = [one for one in version if one and one not in everywhere]
    return f"plug-in {telling[0][:6]}" if telling else ""
