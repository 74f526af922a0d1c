"""Which of a study's cells figures and the report's table compare; others stand in a table of their own."""

from __future__ import annotations

import pandas as pd


def standard(done: pd.DataFrame, other_parameters: bool = False) -> pd.DataFrame:
    """The cells that figures and the report's table compare: one per network, method, L_seg and repeat.

    Default parameters, the largest teacher, the largest image size, volumes before their slices, all
    labels (else the most) and the protocol's updates (else the most); what else a study holds is in the
    table of other recipes. With ``other_parameters`` a method that never has the default ones has those of
    most of its jobs.
    """
    changed = done.groupby("method").changed
    wanted = changed.transform(_most) if other_parameters else ""
    own = done[(done.changed == wanted) & (done.image_size == done.image_size.max())]
    own = own[own.slices == _usual(own.slices, "")]
    trained_here = own.architecture[(own.method == "baseline") & (own.given == "")]
    own = own[(own.given == "") | ~own.architecture.isin(trained_here)]
    own = own[(own.drawn == "") & (own.labels == _usual(own.labels, "all"))]
    own = own[own.updates_asked == _usual(own.updates_asked, "")]
    for name, default in (("teacher_labels", "same"), ("unlabelled", "none")):
        plain = own.method == "baseline"
        wanted = own[name].where(plain, _usual(own[name][~plain], default)).where(~plain, default)
        own = own[own[name] == wanted]
    return own[own.teacher.isin(["", usual_teacher(own, done)])]


def usual_teacher(jobs: pd.DataFrame, done: pd.DataFrame) -> str:
    """Of those who taught ``jobs`` the largest; of weights or maps without a size the one of most jobs.

    ``done`` knows the networks' sizes.
    """
    known = done[["architecture", "parameters"]].drop_duplicates("architecture")
    sizes = dict(zip(known.architecture, known.parameters, strict=True))
    count = jobs.teacher[jobs.teacher != ""].value_counts()
    return max(count.index, key=lambda name: (sizes.get(name, 0), count[name], name), default="")


def _most(parameters: pd.Series) -> str:
    """The default, or without one what most jobs have."""
    return "" if (parameters == "").any() else str(parameters.mode().iloc[0])


def usual_cells(done: pd.DataFrame) -> pd.Series:
    """Which jobs the main table compares: default parameters and recipe, at each number of updates."""
    usual = done[done.seg_loss == "dice-bce"]
    parts = [standard(usual[usual.updates_asked == asked]) for asked in usual.updates_asked.unique()]
    return done.id.isin({name for own in parts for name in own.id})


def sets(done: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The standard cells of every L_seg and number of updates, of volumes and of slices.

    No picture mixes them.

    By what is added to the names of files: nothing for the default L_seg and what is usually seen.
    """
    found, usual, asked_usually = {}, _usual(done.slices, ""), _usual(done.updates_asked, "")
    groups = done.groupby(["seg_loss", "slices", "updates_asked"])
    for loss, slices, asked in sorted(groups.groups, key=lambda key: (key[0] != "dice-bce", key)):
        own = standard(groups.get_group((loss, slices, asked)), other_parameters=True)
        suffix = "" if loss == "dice-bce" else f"_{loss}"
        suffix += "" if slices == usual else f"_{slices}"
        suffix += "" if asked == asked_usually else f"_{asked or 'usual'}-updates"
        if len(own):
            found[suffix] = own
    return found


def _usual(values: pd.Series, default: str) -> str:
    """The default where it is among the values, else the largest of them."""
    found = set(values)
    return default if default in found or not found else max(found, key=lambda text: (len(text), text))
