"""Jobs that change a network, killed in their midst and started again."""

import signal
import subprocess
import sys

import dying_job
import pytest
from commands import missing
from samples import a_setting

import methods
from bench.planning.cells import cells
from bench.planning.matrix import parse_matrix
from bench.study.store import Study

KILLED = {"calibration": "baseline > int8", "round": "baseline > prune"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A trained network, and the jobs that are to be made from it."""
    for name in ("int8", "prune"):
        if lacks := methods.build(name).missing():
            missing(lacks)
    study = Study(tmp_path_factory.mktemp("killed") / "study")
    matrix = {"teacher": "unet-8-16", "students": ["unet-8-16"], "methods": [*KILLED.values()]}
    setting = a_setting(dataset="phantom", image_size=16, can_compile=False, train_cases=64)
    for cell in cells(parse_matrix(matrix, "m"), setting, "unet-8-16"):
        study.plan(cell.job)
    [source] = [job for job in study.jobs() if not job.source]
    dying_job.run(study, source.id)
    return study


@pytest.mark.parametrize("moment", KILLED)
def test_it_ends_as_one_that_never_was_killed(study, moment):
    [job] = [job for job in study.jobs() if job.recipe == KILLED[moment]]
    command = [sys.executable, dying_job.__file__, study.root, job.id, moment]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert study.record(job.id) is None
    resumed = dying_job.run(study, job.id)
    weights = study.path("weights", job.id)
    after_kill = weights.read_bytes()
    assert not study.all("checkpoints"), "nothing is left over"
    assert resumed["provenance"].get("resumed_after_epochs", []) == ([1] if moment == "round" else [])
    study.path("records", job.id).unlink()
    weights.unlink()
    whole = dying_job.run(study, job.id)
    assert whole["val"] == resumed["val"]
    assert weights.read_bytes() == after_kill, "to the bit"
