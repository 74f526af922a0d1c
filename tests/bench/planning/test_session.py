"""The number of updates that a job has anyway: typed, it is the same job."""

from types import SimpleNamespace

import pytest
import torch
from samples import blank_job

from bench.planning.session import Session

SAMPLES = {"": 400, "axial": 6000}
"""Of volumes and of their slices."""


@pytest.mark.parametrize(
    ("planned", "volumes", "slices"),
    [
        ([], 500, 7500),
        ([{"updates": 500}], None, 7500),
        ([{"updates": 500, "slices": "axial"}], 500, 7500),
        ([{"updates": 7500, "slices": "axial"}], 500, None),
    ],
    ids=["a new study", "volumes had it typed", "slices had that of volumes", "slices had their own typed"],
)
def test_slices_and_volumes_are_asked_apart(planned, volumes, slices, monkeypatch):
    def prepared(self, image_size, slices="", fold=None):
        return SimpleNamespace(samples=SAMPLES[slices])

    monkeypatch.setattr(Session, "prepared", prepared)
    study = SimpleNamespace(jobs=lambda: [blank_job(**changes) for changes in planned])
    session = Session(study, None, (None,), torch.device("cpu"), {})
    assert [session._usual_updates(32, kind) for kind in SAMPLES] == [volumes, slices]
