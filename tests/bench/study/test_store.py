import json
from dataclasses import fields, replace

import pytest

from bench.errors import UserError
from bench.files.atomic import write_file, write_json
from bench.job import Job
from bench.study.store import Study, read_json

JOB = Job(
    dataset="phantom", data="d", split="s", spatial_dims=2, in_channels=1, out_channels=1,
    image_size=16, architecture="unet-2", method="pm-kd",
    parameters=(("temperature", 4.0), ("variant", "common"), ("weight", 0.1)),
    seg_loss="dice-bce", seed=0, teachers=("t",), threads=2, precision="fp32", compiled=False,
)  # fmt: skip


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"a": 1})

    def dies(partial):
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(path, dies)
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_nan_is_written_as_null(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": (1.5, None)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1.5, None]}


def test_broken_json_is_named(tmp_path):
    path = tmp_path / "study.json"
    path.write_text('{"a": ')
    with pytest.raises(UserError, match=r"study\.json: not readable as JSON"):
        Study(tmp_path).settings()


def test_every_field_of_a_job_is_in_its_id():
    values = JOB.as_dict()
    derived = {own.name for own in fields(Job) if own.metadata.get("derived")}
    for name, value in values.items():
        if name in derived:  # from ids of other jobs, which are in it
            continue
        other = {
            **values,
            name: {"weight": 1.0} if name == "parameters" else ["u"] if name == "teachers" else
            (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else "other",
        }  # fmt: skip
        assert Job.from_dict(other).id != JOB.id, name


def test_a_job_comes_back_from_its_file(tmp_path):
    study = Study(tmp_path)
    study.plan(JOB)
    assert study.job(JOB.id) == JOB
    assert study.job(JOB.id).id == JOB.id
    assert JOB.spec == "pm-kd[temperature=4.0,variant=common,weight=0.1]"


def test_ids_do_not_change_between_versions():
    """Records in published studies are found by this hash: changing it orphans them."""
    assert replace(JOB, protocol=1).id == "5d23bcbb73236ced"
    assert JOB.id == "ecc438170cdbd44f"


@pytest.mark.parametrize("key", ["slices", "patch", "checkpoint", "architecture", "warmth"])
def test_settings_that_no_option_freezes_are_unknown(tmp_path, key):
    study = Study(tmp_path)
    study.create({"device": "cpu", "micro_batch": 4, "checkpointing": True}, synthetic=True)
    assert study.settings() == {"device": "cpu", "micro_batch": 4, "checkpointing": True}
    study.create({"device": "cpu", key: ""}, synthetic=True)
    with pytest.raises(UserError, match=f"unknown key '{key}'; known: protocol, dataset"):
        study.settings()


@pytest.mark.parametrize(
    "change",
    [
        {"labels": 4}, {"labels": 8}, {"teacher_labels": "disjoint"}, {"teacher_labels": "all"},
        {"unlabelled": "maps"}, {"updates": 80}, {"precision": "bf16"}, {"seed": 1}, {"teachers": ("u",)},
        {"teachers": ("t", "u")}, {"split": "r"}, {"data": "e"}, {"image_size": 32}, {"slices": "axial"},
        {"maps": "m"}, {"plugin": "p"},
    ],
    ids=str,
)  # fmt: skip
def test_what_decides_targets_gives_them_a_folder_of_their_own(tmp_path, change):
    assert Study(tmp_path).targets_folder(replace(JOB, **change)) != Study(tmp_path).targets_folder(JOB)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "at-kd", "parameters": ()}, {"architecture": "unet-4"}, {"seg_loss": "bce"},
        {"threads": 1},
        {"compiled": True}, {"micro_batch": 4}, {"shuffled": True},
    ],
    ids=str,
)  # fmt: skip
def test_what_decides_no_targets_shares_them(tmp_path, change):
    assert Study(tmp_path).targets_folder(replace(JOB, **change)) == Study(tmp_path).targets_folder(JOB)
