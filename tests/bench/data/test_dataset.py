"""What a dataset is once it is read, whoever wrote the code that reads it."""

import json

import numpy as np
import pytest

from bench.data.dataset import Dataset, content_of, fingerprint
from bench.data.prepared_images import PreparedImages
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split

SPLIT = Split(("a",), ("b",), ("c",))


def dataset_of(dims, spacing, window):
    rng = np.random.default_rng(0)
    shape = (16, 16, 16)[:dims]
    images = [rng.normal(size=(1, *shape)).astype(np.float32) for _ in "abc"]
    masks = [(rng.random(shape) > 0.5).astype(np.uint8) for _ in "abc"]
    contents = [content_of(*pair) for pair in zip(images, masks, strict=True)]
    name = fingerprint("abc", "abc", contents, spacing, ["x", window])
    return Dataset(
        "own",
        tuple("abc"),
        tuple("abc"),
        images,
        masks,
        ("x",),
        name,
        window,
        spacing=spacing,
        modalities=("CT",),
    )


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", [int, np.int64, np.float32, np.float64])
def test_numbers_of_any_kind_are_the_same_data(dims, kind):
    steps, window = (1.0, 2.0, 3.0)[:dims], (-1.0, 2.0)
    plain = dataset_of(dims, (steps,) * 3, window)
    other = dataset_of(dims, tuple(tuple(map(kind, steps)) for _ in "abc"), tuple(map(kind, window)))
    assert other.spacing == plain.spacing
    prepared = PreparedImages if dims == 2 else PreparedVolumes
    facts = [json.dumps(prepared(one, SPLIT, 16).facts()) for one in (plain, other)]
    assert facts[0] == facts[1]
    if kind is not int and kind is not np.int64:
        assert other.fingerprint == plain.fingerprint
