"""A study whose students have several kinds of teachers: what is recorded, reported and blocked."""

import json

import numpy as np
import pandas as pd
import pytest
import short_jobs
import torch
from commands import Command

from bench.data.stream import SampleStream
from bench.planning.options import Options
from bench.planning.session import open_session
from bench.study.store import Study
from bench.training.job_parts import load_artefact
from bench.training.targets import unpack

MATRIX = {
    "teacher": "unet-4-8", "students": ["unet-2-4"], "methods": ["baseline", "pm-kd[weight=1]"],
    "image_size": 16, "updates": 40, "workers": 2, "labels": 4, "unlabelled": "maps",
    "rows": [
        {"teachers": [1, 2, "unet-2-4-8:pm-kd", "twin"]},
        {"shuffled": True, "methods": ["pm-kd[weight=1]"]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("teachers")
    (root / "m.yaml").write_text(json.dumps(MATRIX))
    arguments = ("--matrix", root / "m.yaml", "--results", root / "s", "--device", "cpu", "--no-compile")
    with Command(arguments, root / "out", entry=short_jobs.SCRIPT) as command:
        said = command.ends()
    return arguments, Study(root / "s"), said


def by_teacher(study):
    frame = pd.read_csv(study.root / "summary.csv", keep_default_na=False)
    students = frame[(frame.architecture == "unet-2-4") & (frame.method == "pm-kd")]
    return {row.teacher: study.job(row.id) for row in students.itertuples()}


def test_every_kind_of_teacher_has_a_row_of_its_own(finished):
    _, study, _ = finished
    kinds = {"unet-4-8", "2 × unet-4-8", "unet-2-4-8:pm-kd", "unet-2-4", "unet-4-8, targets shuffled"}
    assert set(by_teacher(study)) == kinds
    table = (study.root / "tables" / "recipes.md").read_text()
    assert all(kind in table for kind in kinds)
    assert "Targets shuffled: a control" in table
    assert "Of its plain twin: a control" in table


def test_what_is_recorded_of_two_is_the_mean_of_their_probabilities(finished):
    _, study, _ = finished
    student = by_teacher(study)["2 × unet-4-8"]
    session = open_session(study.root, Options(device="cpu"))
    stream = SampleStream.of(student, session.prepared_for(student))
    x = stream.batch(2, 1)[0]
    with torch.no_grad():
        networks = [load_artefact(study, study.job(name)).module.eval() for name in student.teachers]
        expected = torch.stack([network(x).sigmoid() for network in networks]).mean(dim=0)
    folder = study.targets_folder(student)
    half, shift = (
        np.load(folder / f"logits.{kind}.npy")[2 * stream.steps + 1] for kind in ("half", "shift")
    )
    found = unpack(torch.from_numpy(half), torch.from_numpy(shift)).sigmoid()
    assert torch.allclose(found, expected.to(found.dtype).reshape(found.shape), atol=2e-3)
    assert len({job.labels_seed for name in student.teachers if (job := study.job(name))}) == 2


def test_shuffled_students_share_the_recording_and_learn_other_things(finished):
    _, study, said = finished
    jobs = by_teacher(study)
    own, control = jobs["unet-4-8"], jobs["unet-4-8, targets shuffled"]
    assert study.targets_folder(own) == study.targets_folder(control)
    one, other = (study.record(job.id)["curves"][-1]["pm"] for job in (own, control))
    assert other > one, "maps of other samples can't be matched"
    assert said.count("targets: recording") == 4, "one for each kind of teacher"


def test_running_again_runs_nothing(finished, bench):
    arguments, _, _ = finished
    assert " to do" not in bench(*arguments, "--dry-run").out.replace("nothing to do", "")


def test_a_student_is_blocked_where_one_of_its_teachers_failed(finished):
    _, study, _ = finished
    student = by_teacher(study)["2 × unet-4-8"]
    path = study.path("weights", student.teachers[1])
    kept = path.read_bytes()
    path.unlink()
    try:
        assert "its teacher unet-4-8:baseline" in study.blocked(student)
        assert "drawn by seed 0" in study.blocked(student)
    finally:
        path.write_bytes(kept)
    assert study.blocked(student) == ""
