"""Contrasts stand for the jobs that they were named for, and a run of other ones says so."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from samples import blank_job

from bench.planning.contrasts import tell_old_contrasts

OLD = blank_job(architecture="unet-2", method="mine", recipe="mine", plugin="a" * 16)


def session_of(*planned):
    """A session whose study has planned ``OLD`` as a contrast, and these jobs."""
    study = SimpleNamespace(
        jobs=lambda: [OLD, *planned], contrasts=lambda: {"unet-2:mine": [OLD.id], "unet-2:pm-kd": []}
    )
    return SimpleNamespace(study=study)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plugin": "b" * 16}, True),
        ({}, False),
        ({"fold": 1}, False),
        ({"method": "pm-kd", "recipe": "pm-kd"}, False),
    ],
    ids=["edited", "the same", "another fold", "another method"],
)
def test_an_edited_plugin_is_told_that_it_may_not_claim(caplog, changes, said):
    job = replace(OLD, **changes)
    tell_old_contrasts(session_of(job), [job])
    assert ("an earlier version of a plug-in (unet-2:mine)" in caplog.text) == said
