"""Networks that came to one graph on different ways: trained at that width, or pruned to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bench.report.captions import by_repeat, cautions, origin
from bench.report.cells import RECIPE, by_job, difference, scores
from bench.report.frames import score_column
from bench.report.making import Making, making
from bench.report.tables.compression import gain_with_interval
from bench.report.tables.markup import Table
from bench.report.tables.wording import number, spread

SETTING = ["dataset", "image_size", "spatial_dims", "slices", "seg_loss", "labels", "updates_asked"]
WAY = ["all_updates", "architecture", "recipe"]
PLAIN = ("baseline", "baseline > continue")
"""Trained at the graph's own width without a teacher."""


def one_graph_table(done: pd.DataFrame, cases: pd.DataFrame) -> Table:
    """A row a way to a graph that several networks share; empty where there is no such graph.

    Args:
        done: the finished jobs of the summary, reshaped ones too.
        cases: a row per job and case, of the part that is shown.
    """
    trained = done[done.train_seconds.notna()]
    trained = trained.assign(all_updates=updates_of_all_rounds(done))
    known, seconds = by_job(cases), making(done)
    rows: list[dict[str, Any]] = []
    shown = []
    for _, own in trained.groupby([*SETTING, "parameters"], sort=False):
        # As many parameters and other MACs: not one graph.
        if own.architecture.nunique() > 1 and own.macs.nunique() <= 1:
            rows += _rows(own, known, seconds)
            shown.append(own)
    about = pd.concat(shown) if shown else done
    repeats = about[["fold", "seed"]].drop_duplicates()
    caption = (
        f"One graph, several ways to it: {origin(about) if len(about) else ''}. Updates: of all trainings "
        "that its weights went through. Δ plain: Dice points over the network of that width trained "
        "plainly for as many updates, paired by case, with the interval over patients for these networks"
        f"{', one draw of each' if len(repeats) == 1 else ''}. Made in: all training of the recipe and its "
        "teacher, and the recording of what that teaches."
        f"{cautions(about) if shown else ''}"
    )
    return Table("one_graph", caption, pd.DataFrame(rows).dropna(axis=1, how="all"), wide=("record",))


def updates_of_all_rounds(done: pd.DataFrame) -> pd.Series:
    """Of each job the updates of all trainings that its weights went through.

    New weights in a pruned shape, ``init=fresh``, have seen none of their source's.
    """
    fresh = done.method_parameters.str.split().map(lambda given: "init=fresh" in given)
    source = dict(zip(done.id, done.source.mask(fresh, ""), strict=True))
    own = dict(zip(done.id, done.updates.fillna(0), strict=True))

    def total(job: str) -> float:
        return own[job] + (total(source[job]) if source[job] in own else 0.0)

    return done.id.map(total)


def _rows(own: pd.DataFrame, cases: pd.DataFrame, seconds: dict[str, Making]) -> list[dict[str, Any]]:
    """Of one graph: fewest updates first, and what was trained plainly at its width before the rest."""
    score, part = score_column(own)
    # At its own width a network has no pruning among its steps.
    native = own[~own.recipe.str.contains("prune", regex=False)].architecture.unique()
    plain = own[own.architecture.isin(native) & own.recipe.isin(PLAIN)]
    groups = [group for _, group in own.groupby(["all_updates", *RECIPE], sort=True, dropna=False)]
    rows = []
    for group in sorted(groups, key=_place):
        updates, architecture, recipe = group.iloc[0][WAY]
        reference = plain[(plain.all_updates == updates) & ~plain.id.isin(group.id)]
        paired = difference(scores(cases, group.id), scores(cases, reference.id))
        rows.append(
            {
                "parameters": number(group.parameters.iloc[0], ",.0f"),
                "updates": number(updates, ",.0f"),
                "from": architecture,
                "recipe": recipe,
                f"Dice ({part})": spread(by_repeat(group, score)),
                "Δ plain, points [95 % CI, these networks]": gain_with_interval(paired),
                "made in, s": number(float(np.mean([seconds[name].total for name in group.id])), ",.0f"),
                "record": " ".join(group.id),
            }
        )
    return rows


def _place(group: pd.DataFrame) -> tuple[Any, ...]:
    updates, architecture, recipe = group.iloc[0][WAY]
    return updates, recipe not in PLAIN, "prune" in recipe, architecture, recipe
