"""Two studies side by side: the same networks and methods with other updates, or on another machine.

``report STUDY --beside OTHER`` keeps in ``beside.json`` where the other one lies, so that every later
report of the study has the table again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UserError
from bench.files.atomic import write_json
from bench.files.checked import read_names
from bench.report import chosen_on, frames
from bench.report.captions import (
    CLAIMED,
    GAP,
    OF_METHOD,
    PLAIN,
    averaged,
    by_repeat,
    cautions,
    claimable,
    origin,
    unseen_patients,
    updates,
)
from bench.report.cells import Cell, by_job, cells_of, difference, groups, overall, repeat_of, scores
from bench.report.comparisons import comparisons
from bench.report.standard import usual_cells
from bench.report.tables.compression import trained_only
from bench.report.tables.markup import Table
from bench.report.tables.matrix import GAIN, UNSEEN, settings, without_constant
from bench.report.tables.wording import closed, number, points, spread, unseen
from bench.study.store import Study, existing

log = logging.getLogger(__name__)

FILE = "beside.json"
LEFT_OUT = ("updates", "folds", "seeds", "parameters of the method")
"""Of what a cell is: what stands in the caption, or is the default."""
Cells = dict[Cell, tuple[Cell, pd.DataFrame]]
OF_A_GAIN: dict[str, Callable[[Any], str | None]] = {
    GAIN: points,
    UNSEEN: unseen,
    "gap closed": closed,
    "claim": attrgetter("verdict"),
}
"""Columns, and how each is written of a comparison with the plain student."""
MADE_FROM = ("data", "split")
"""What two studies must share in ``study.json``."""


@dataclass(frozen=True)
class Side:
    """What is shown of one study: its usual cells on the repeats that both have.

    ``cases`` are those of ``by_job``, ``gains`` the comparisons with the plain student of cells that both
    have, and ``claimable`` what could have been claimed of them, as a sentence. ``computed`` says on what
    device and in which precision.
    """

    name: str
    done: pd.DataFrame
    cases: pd.DataFrame
    gains: dict[Cell, Any]
    claimable: str
    computed: str


def remember(study: Study, others: Sequence[Path]) -> None:
    """Keep where other studies lie, after checking that they can stand beside it.

    Raises:
        UserError: no study, one of other data or of another split, or the study itself.
    """
    kept = remembered(study)
    for path in others:
        other = existing(path)
        if other.root.resolve() == study.root.resolve():
            raise UserError(f"--beside {path}: is the study itself")
        _check(study, other)
        kept.append(Path(os.path.relpath(path, study.root)))
    if others:
        write_json(study.root / FILE, [path.as_posix() for path in dict.fromkeys(kept)])


def remembered(study: Study) -> list[Path]:
    """The folders of other studies, relative to the study's.

    Raises:
        UserError: ``beside.json`` is damaged.
    """
    return [Path(name) for name in read_names(study.root / FILE, "folders")]


def beside_tables(study: Study, made: frames.Frames) -> list[Table]:
    """A table for each study that is remembered and there; ``made``: the frames of ``study``."""
    tables = []
    for path in remembered(study):
        folder = study.root / path
        if not (folder / "study.json").is_file():
            log.warning(f"report: {path} is no study any more: no table of both")
            continue
        other = existing(folder)
        _check(study, other)
        tables.append(_table({study: made, other: frames.of_study(other)}))
    return [table for table in tables if len(table.frame)]


def _check(study: Study, other: Study) -> None:
    ours, theirs = study.settings() or {}, other.settings() or {}
    for key in MADE_FROM:
        if ours.get(key) != theirs.get(key):
            what = "data" if key == "data" else "a split"
            raise UserError(f"--beside {other.root}: was made from {what} other than {study.root}")


def _table(studies: Mapping[Study, frames.Frames]) -> Table:
    """A row for each cell that both have."""
    one, two = _sides(studies)
    ours, theirs = _cells(one), _cells(two)
    column, part = frames.score_column(one.done)
    rows: list[dict[str, Any]] = []
    for key, (cell, group) in ours.items():
        if key not in theirs:
            continue
        other_cell, other_group = theirs[key]
        own = {k: v for k, v in settings(cell, group).items() if k not in LEFT_OUT}
        gained = difference(scores(two.cases, other_group.id), scores(one.cases, group.id))
        rows.append(
            {
                **own,
                f"Dice ({part}), {one.name}": spread(by_repeat(group, column)),
                f"Dice ({part}), {two.name}": spread(by_repeat(other_group, column)),
                "from the first to the second, points": number(100 * overall(gained), "+.1f"),
                **_gains((one, cell), (two, other_cell)),
                "parameters": number(group.parameters.iloc[0], ",.0f"),
                "records": " ".join([*group.id, *other_group.id]),
            }
        )
    caption = (
        f"Side by side, on what both have: {one.name}: {origin(one.done)}; {two.name}: {origin(two.done)}. "
        f"{_computed(one, two)}Dice: {averaged(one.done)}."
        f"{_on_gains(one, two)}{_alone(one, ours, two, theirs)}"
        f"{cautions(pd.concat([one.done, two.done]))}"
    )
    _, other = studies
    name = f"beside_{other.root.resolve().name}"
    return Table(name, caption, without_constant(pd.DataFrame(rows)), wide=("records",))


def _computed(one: Side, two: Side) -> str:
    """What each was computed on and in, as a sentence; empty where that is the same."""
    if one.computed == two.computed:
        return ""
    return f"Computed on {one.computed}: {one.name}; on {two.computed}: {two.name}. "


def _alone(one: Side, ours: Cells, two: Side, theirs: Cells) -> str:
    """Which networks only one of both has, as a sentence; empty where there are none."""
    said = []
    for side, own, other in ((one, ours, theirs), (two, theirs, ours)):
        networks = {key.architecture for key in own} - {key.architecture for key in other}
        said += [f" Of {side.name} alone, and not here: {', '.join(sorted(networks))}."] if networks else []
    return "".join(said)


def _sides(studies: Mapping[Study, frames.Frames]) -> tuple[Side, Side]:
    """Both, of one part of the patients and the repeats that both have."""
    summaries = [trained_only(made.summary) for made in studies.values()]
    part = "val" if any(frames.score_column(frame)[1] != "test" for frame in summaries) else "test"
    done = [frame[frame.status == "done"] for frame in summaries]
    done = [own[usual_cells(own)] for own in done]
    if part == "val":
        done = [own.assign(dice=float("nan")) for own in done]
    both = repeat_of(done[0]).intersection(repeat_of(done[1]))
    done = [own[repeat_of(own).isin(both)] for own in done]
    names = [f"{updates(own)} updates" for own in done]
    if names[0] == names[1]:
        names = [each.root.resolve().name for each in studies]
    common = set[Cell].intersection(*({_key(cell) for cell in cells_of(own)} for own in done))
    sides = []
    for (each, made), own, name in zip(studies.items(), done, names, strict=True):
        cases = made.cases[part]
        cases = cases[cases.id.isin(own.id)]
        found = comparisons(own, cases, each.contrasts(), chosen_on.kept(each))
        found = found[found.against == "baseline"]
        found = found.loc[np.array([_key(cell) in common for cell in cells_of(found)], dtype=bool)]
        gains = dict(zip(cells_of(found), found.itertuples(index=False), strict=True))
        could, kept = claimable(found) + unseen_patients(found), each.settings() or {}
        computed = f"{kept.get('device')} in {kept.get('precision')}"
        sides.append(Side(name, own, by_job(cases), gains, could, computed))
    return sides[0], sides[1]


def _cells(side: Side) -> Cells:
    """Every cell by what both studies may have in common."""
    return {_key(cell): (cell, group) for cell, group in groups(side.done)}


def _key(cell: Cell) -> Cell:
    """All that a cell is but its updates."""
    return cell._replace(updates_asked="")


def _gains(*cells: tuple[Side, Cell]) -> dict[str, Any]:
    """What a cell gains over the plain student in each study, column by column of both."""
    gains = {side.name: side.gains.get(cell) for side, cell in cells}
    return {
        f"{column}, {name}": None if gain is None else written(gain)
        for column, written in OF_A_GAIN.items()
        for name, gain in gains.items()
    }


def _on_gains(*sides: Side) -> str:
    """How gains are to be read, as sentences; empty where neither study has any."""
    if not any(side.gains for side in sides):
        return ""
    claims = "".join(f" {side.name}:{side.claimable}" for side in sides if side.claimable)
    return f" {PLAIN}. 95 % intervals: {OF_METHOD}. {CLAIMED}{claims} {GAP}"
