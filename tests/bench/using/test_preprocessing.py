"""What a network was made for, as data: nothing is lost in JSON, and nothing odd is taken from it."""

import json

import finished_study
import pytest

from bench.errors import UserError
from bench.using.preprocessing import Channel, Preprocessing


@pytest.fixture(
    params=[
        finished_study.images(),
        finished_study.images(window=(90.0, 130.0), channels=3, classes=("one", "two")),
        finished_study.volumes(),
        finished_study.volumes(modality="CT"),
        finished_study.volumes(slices="axial", channels=2),
        finished_study.volumes(classes=("one", "two"), values=(1, 4)),
    ],
    ids=["grey", "colour", "MRI", "CT", "slices", "values"],
)
def made_for(request, tmp_path):
    return finished_study.network_of(tmp_path, request.param).made_for


def test_json_holds_all_of_it(made_for):
    text = json.dumps(made_for.as_dict(), allow_nan=False)
    assert Preprocessing.from_dict(json.loads(text), "p.json") == made_for


def test_a_studys_record_says_it(tmp_path):
    prepared = finished_study.volumes(modality="CT", slices="axial")
    found = finished_study.network_of(tmp_path, prepared).made_for
    [(low, high, mean, std)] = prepared.ct
    assert found == Preprocessing(
        channels=(Channel((low, high), mean, std),), classes=("object",), resize="trilinear",
        orientation="RAS", spacing=(1.0, 1.0, 2.0), patch=prepared.patch,
    )  # fmt: skip
    assert found.sliced


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": [0, 1]}, "unknown key 'window'"),
        ({"size": "16"}, "size: input should be a valid integer"),
        ({"size": 0}, "size: input should be greater than or equal to 1"),
        ({"patch": [16, 16]}, "must have a size"),
        ({"classes": []}, "classes: "),
        ({"values": [4, 1]}, "values must be one for each class, rising"),
        ({"orientation": "LPS"}, "orientation: input should be '' or 'RAS'"),
        ({"channels": [{"mean": 0.0, "std": 0.0}]}, "channels.0.std: "),
    ],
)
def test_what_can_not_be_is_refused(tmp_path, change, said):
    content = json.loads(
        json.dumps(finished_study.network_of(tmp_path, finished_study.images()).made_for.as_dict())
    )
    with pytest.raises(UserError, match=f"p.json: {said}"):
        Preprocessing.from_dict(content | change, "p.json")
