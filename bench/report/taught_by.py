"""Who taught a network, in words: what tells two kinds of teachers apart in every table and on the page."""

from __future__ import annotations

import pandas as pd

MAPS = "given maps"
SHUFFLED = ", targets shuffled"


def teacher_texts(frame: pd.DataFrame) -> list[str]:
    """The teacher of each job: its network; an assistant with its recipe; ``3 × network`` for a mean.

    Args:
        frame: a row a job, with ``id``, ``architecture``, ``recipe``, ``method``, ``teachers`` (ids),
            ``shuffled``, and ``maps`` and ``given`` of ``told_apart``.
    """
    plain = frame.method == "baseline"
    texts = frame.architecture.where(plain, frame.architecture + ":" + frame.recipe)
    texts += frame.given.map(lambda given: f" ({given})" if given else "")
    named = dict(zip(frame.id, texts, strict=True))
    columns = zip(frame.teachers.fillna(""), frame.maps, frame.shuffled, strict=True)
    return [
        (_together([named.get(one, one) for one in ids.split()]) or given) + (SHUFFLED if other else "")
        for ids, given, other in columns
    ]


def told_apart(hashes: pd.Series, name: str) -> pd.Series:
    """A name where there is a hash; where there are several hashes, each with the begin of its own."""
    several = hashes[hashes != ""].nunique() > 1
    return hashes.map(lambda own: f"{name} {own[:6]}" if own and several else name if own else "")


def _together(names: list[str]) -> str:
    if len(names) > 1 and len(set(names)) == 1:
        return f"{len(names)} × {names[0]}"
    return "+".join(names)


def of_source(frame: pd.DataFrame) -> list[str]:
    """The teacher of each job, or of the network that it was made from."""
    source = dict(zip(frame.id, frame.source.fillna(""), strict=True))
    teacher = dict(zip(frame.id, frame.teacher, strict=True))
    found = []
    for own in frame.id:
        name = own
        while source.get(name) and not teacher[name]:
            name = source[name]
        found.append(teacher.get(name, ""))
    return found
