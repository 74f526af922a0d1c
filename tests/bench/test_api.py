"""The harness from Python: what it gives is what the command line leaves."""

import dataclasses

import numpy as np
import pytest
import short_jobs
import torch

from bench import api
from bench.data import datasets
from bench.errors import UserError

MATRIX = "teacher: unet-4-8\nstudents: [unet-2-4]\nmethods: [baseline]\nimage_size: 16\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of one short job, run through ``api.run``."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "tiny.yaml").write_text(MATRIX)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.commands.run_job", short_jobs.run_job)
        patch.setattr("bench.commands.profile", lambda *_: None)
        patch.setattr("bench.commands.write_report", lambda *_: None)
        return api.run(
            folder / "tiny.yaml", dataset="phantom", results=str(folder / "study"), seeds=[1],
            only="unet-2-4:baseline", no_test=True, no_compile=True,
        )  # fmt: skip


@pytest.fixture
def done(study):
    """The id of its job."""
    return api.records(study).id.item()


def test_a_matrix_is_run_and_its_records_are_a_frame(study, done):
    frame = api.records(study)
    assert list(frame.status) == ["done"]
    assert frame.seed.item() == 1
    assert api.cases(study, "val").id.unique() == [done]
    assert len(api.cases(study)) == 0, "the test set was left unread"
    assert api.open_study(str(study.root)) == study


def test_it_is_not_run_twice(study, told):
    options = {"only": "unet-2-4:baseline", "no_test": True, "seeds": (1,), "results": study.root}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.commands.profile", lambda *_: None)
        patch.setattr("bench.commands.write_report", lambda *_: None)
        assert api.run(study.root.parent / "tiny.yaml", **options) == study
    assert "nothing to run" in told


def test_an_artefact_takes_normalised_batches(study, done):
    job = study.job(done)
    logits = api.load(study, done).predict(torch.zeros(2, job.in_channels, *job.shape))
    assert logits.shape == (2, job.out_channels, *job.shape)


def test_an_image_as_it_comes_is_predicted_as_it_was_when_scored(study, done):
    dataset = datasets.load("phantom", None, study.root / "cache", "")
    scored = api.predictions(study, done)
    assert scored
    for case, mask in list(scored.items())[:3]:
        image = dataset.images[dataset.cases.index(case)]
        found = api.predict(study, done, image)
        assert found.dtype == np.uint8
        assert found.shape == mask.shape
        assert (found == mask).mean() > 0.999, "batches of another size may round differently"
        assert np.array_equal(api.predict(study, done, image[0]), found)


def test_mistakes_are_errors_of_one_line(study, done, tmp_path):
    with pytest.raises(UserError, match=r"no study\.json here"):
        api.open_study(tmp_path)
    with pytest.raises(UserError, match="no job 'abc' is planned here"):
        api.load(study, "abc")
    with pytest.raises(UserError, match="is not done"):
        api.predict(study, "abc", np.zeros((16, 16)))
    with pytest.raises(UserError, match="must be test or val"):
        api.cases(study, "train")
    with pytest.raises(UserError, match="no such matrix"):
        api.run("nope")
    with pytest.raises(TypeError, match="speed"):
        api.run("quick", speed=3)
    other = dataclasses.replace(study.job(done), seed=7)
    study.plan(other)
    for takes in (api.load, api.predictions):
        with pytest.raises(UserError, match=f"job {other.id} is not done; see status"):
            takes(study, other.id)
    study.write_record(study.record(done) | {"id": other.id, "job": other.as_dict()})
    for takes in (api.load, api.predictions):
        with pytest.raises(UserError, match=r"not here, for .* take them from there"):
            takes(study, other.id)
