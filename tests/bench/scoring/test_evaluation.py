import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import architectures
from bench.data.prepared import Scored
from bench.scoring.evaluation import (
    CPU_BATCH,
    decide,
    overlap_scores,
    predict_masks,
    score_case,
    score_part,
    summarise,
    surface_scores,
    validation_dice,
)
from bench.study.predictions import pack_masks, unpack_masks
from methods.artefact import TorchArtefact

EMPTY = np.zeros((6, 8), np.uint8)
SQUARE = EMPTY.copy()
SQUARE[1:4, 1:4] = 1


def test_both_empty_is_nan_and_counted():
    row = score_case(EMPTY, EMPTY, ("liver",), surface=True)
    false_alarms = {row.pop("false_positive_area"), row.pop("false_positive_share")}
    assert false_alarms == {0.0}
    assert all(math.isnan(value) for value in row.values())
    rows = [{"case": "a", "patient": "p", **row}, {"case": "b", "patient": "q", **row, "dice": 0.5}]
    total = summarise(rows)
    assert total["empty_cases"] == 1
    assert total["dice"] == 0.5


@pytest.mark.parametrize(("predicted", "truth"), [(EMPTY, SQUARE), (SQUARE, EMPTY)])
def test_one_empty_is_the_worst(predicted, truth):
    row = score_case(predicted, truth, ("liver",), surface=True)
    assert row["dice"] == row["nsd"] == row["precision"] == 0
    assert row["hd95"] == pytest.approx(10)  # the diagonal of 6 x 8


def test_shifted_square_by_hand():
    moved = np.roll(SQUARE, 1, axis=1)
    row = score_case(moved, SQUARE, ("liver",), surface=True)
    assert row["dice"] == pytest.approx(6 / 9)
    assert row["precision"] == row["sensitivity"] == pytest.approx(6 / 9)
    assert row["hd95"] == pytest.approx(1)
    assert row["nsd"] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_hd95_is_the_larger_directed_percentile(seed):
    """Against brute force: all edge pixels of one mask to all of the other."""
    from scipy.ndimage import binary_erosion, binary_fill_holes, gaussian_filter

    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=(40, 40)), 5) for _ in range(2)]
    p, t = (binary_fill_holes(f > np.quantile(f, 0.8)) for f in fields)
    edges = [np.argwhere(m & ~binary_erosion(m)) for m in (p, t)]
    distance = np.linalg.norm(edges[0][:, None] - edges[1][None], axis=2)
    directed = [np.percentile(distance.min(axis=axis), 95) for axis in (0, 1)]
    assert surface_scores(p, t, (1, 1))["hd95"] == pytest.approx(max(directed), abs=0.3)


@pytest.mark.parametrize("axis", range(3))
def test_a_volume_of_one_slice_is_scored_as_the_slice(axis):
    y, x = np.mgrid[:40, :40]
    p, t = ((y - 20) ** 2 + (x - middle) ** 2 < 10**2 for middle in (16, 23))
    spacing = [0.5, 2.0]
    expected = surface_scores(p, t, spacing)
    spacing.insert(axis, 9.0)
    p, t, none = (np.expand_dims(mask, axis) for mask in (p, t, t & ~t))
    assert surface_scores(p, t, spacing) == expected
    assert surface_scores(none, t, spacing)["hd95"] == pytest.approx(math.hypot(20, 80))


def test_surfaces_are_as_monai_measures_them_and_may_be_larger_than_it_takes(monkeypatch):
    """torch's quantile refuses long vectors, so a noisy prediction of a large CT failed its job."""
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    p, t = np.random.default_rng(0).random((2, 20, 16, 12)) > 0.6
    one, spacing = [torch.from_numpy(mask)[None, None] for mask in (p, t)], (0.4, 0.9, 0.7)
    found = surface_scores(p, t, spacing)
    asked = {"include_background": True, "spacing": spacing}
    assert found["hd95"] == float(compute_hausdorff_distance(*one, percentile=95, **asked))
    assert found["nsd"] == float(compute_surface_dice(*one, [1.0], **asked))
    monkeypatch.setattr("bench.scoring.evaluation.MOST_OF_TORCH", 10)
    assert surface_scores(p, t, spacing) == pytest.approx(found)


@given(hnp.arrays(bool, (5, 7)), hnp.arrays(bool, (5, 7)))
def test_dice_against_sets(p, t):
    row = overlap_scores(p, t)
    a, b = set(np.flatnonzero(p)), set(np.flatnonzero(t))
    if a or b:
        assert row["dice"] == 2 * len(a & b) / (len(a) + len(b))
        assert 0 <= row["dice"] <= 1
        assert row["dice"] == overlap_scores(t, p)["dice"]


def test_dice_is_the_mean_over_patients_and_dice_slice_over_cases():
    rows = [
        {"case": "a1", "patient": "a", "dice": 1.0},
        {"case": "a2", "patient": "a", "dice": 0.5},
        {"case": "b1", "patient": "b", "dice": 0.0},
    ]
    total = summarise(rows)
    assert total["dice"] == pytest.approx((0.75 + 0.0) / 2)
    assert total["dice_slice"] == pytest.approx(0.5)
    assert (total["cases"], total["patients"]) == (3, 2)


@pytest.mark.parametrize("kind", [np.int64, np.float32, int, float])
def test_a_spacing_is_a_spacing_whatever_kind_of_number_it_is(kind):
    moved = np.roll(SQUARE, 2, axis=0)
    expected = score_case(moved, SQUARE, ("liver",), surface=True, spacing=(3.0, 1.0))
    assert expected["hd95"] == 6.0
    for spacing in ((kind(3), kind(1)), np.array([3, 1], kind)):
        assert score_case(moved, SQUARE, ("liver",), surface=True, spacing=spacing) == expected
        assert score_case(moved, EMPTY, ("liver",), surface=True, spacing=spacing)["hd95"] == np.hypot(
            18, 8
        )


def test_rows_say_how_large_the_organ_is():
    part = Scored(
        cases=("a", "b"), patients=("p", "q"), images=torch.zeros(2, 1, 8, 8), masks=[SQUARE, EMPTY]
    )
    rows = score_part([SQUARE, EMPTY], part, ("liver",), surface=False)
    assert [row["organ_size"] for row in rows] == [9, 0]
    assert "organ_size" not in summarise(rows), "a size is no score"


def test_several_classes_average_and_stand_alone():
    truth = SQUARE.copy()
    truth[5, 5] = 2
    row = score_case(SQUARE, truth, ("a", "b"), surface=False)
    assert row["dice_a"] == 1
    assert row["dice_b"] == 0
    assert row["dice"] == 0.5


def test_decisions_are_made_on_the_native_grid():
    one = torch.tensor([[[[-1.0, 1.0], [-1.0, 1.0]]]])
    assert decide(one, (4, 4))[0].tolist() == [[0, 0, 1, 1]] * 4
    several = torch.stack([torch.zeros(2, 2), torch.ones(2, 2), 2 * torch.eye(2)])[None]
    assert decide(several, (2, 2))[0].tolist() == [[2, 1], [1, 2]]


@given(st.lists(hnp.arrays(np.uint8, (3, 5), elements=st.integers(0, 2)), min_size=1, max_size=4))
def test_kept_predictions_come_back(masks):
    cases = [f"case{k}" for k in range(len(masks))]
    back = unpack_masks(pack_masks(masks, cases))
    assert list(back) == cases
    assert all(np.array_equal(back[case], mask) for case, mask in zip(cases, masks, strict=True))


def test_a_network_in_training_is_scored_as_its_file_will_be_and_left_as_it_is(small_phantom, tmp_path):
    torch.manual_seed(0)
    model = architectures.build("unet-4-8").train().to(memory_format=torch.channels_last)
    weight = model.encoder[0][3].weight
    cpu, part = torch.device("cpu"), small_phantom.val
    TorchArtefact(copy.deepcopy(model)).save(tmp_path / "weights")
    kept = TorchArtefact.load(lambda: architectures.build("unet-4-8"), tmp_path / "weights")
    seen = []

    def predict(x):
        seen.append(kept.predict(x))
        return seen[-1]

    rows = score_part(predict_masks(predict, part, cpu), part, ("object",), surface=False)
    assert validation_dice(model, part, ("object",), cpu) == summarise(rows)["dice"]
    assert sum(len(logits) for logits in seen) == len(part.cases)
    assert max(len(logits) for logits in seen) == CPU_BATCH
    assert model.training
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert weight is model.encoder[0][3].weight


def test_batches_of_few_give_the_masks_of_one_batch(small_phantom):
    part = small_phantom.val
    whole = decide(part.images, part.masks[0].shape)  # a network's rounding may differ with the batch
    found = predict_masks(torch.clone, part, "cpu")
    assert 0 < whole.mean() < 1
    assert all(np.array_equal(one, other) for one, other in zip(found, whole, strict=True))


def test_false_alarms_are_of_cases_without_an_object():
    row = score_case(SQUARE, EMPTY, ("liver",), surface=False)
    assert row["false_positive_area"] == 9
    assert row["false_positive_share"] == 9 / 48
    row = score_case(SQUARE, EMPTY, ("liver", "tumour"), surface=True, spacing=(0.5, 3.0))
    assert row["false_positive_area"] == pytest.approx(13.5)
    assert score_case(EMPTY, EMPTY, ("liver",), surface=False)["false_positive_area"] == 0
    assert "false_positive_area" not in score_case(EMPTY, SQUARE, ("liver",), surface=False)
    cube = np.stack([SQUARE, EMPTY], axis=-1)
    row = score_case(cube, np.zeros_like(cube), ("liver",), surface=False, spacing=(1.0, 1.0, 4.0))
    assert (row["false_positive_area"], row["false_positive_share"]) == (36, 9 / 96)


def test_false_alarms_of_a_part_are_means_over_patients_that_have_such_cases():
    def rows(**areas):
        return [
            {"case": f"{patient}{k}", "patient": patient, "organ_size": 0, "dice": 0.5}
            | ({} if area is None else {"false_positive_area": area})
            for patient, own in areas.items()
            for k, area in enumerate(own)
        ]

    total = summarise(rows(a=[None, 4.0, 8.0], b=[0.0], c=[None]))
    assert total["false_positive_area"] == 3
    assert total["dice"] == 0.5
    assert "false_positive_area" not in summarise(rows(a=[None]))


def test_a_class_that_no_validation_mask_holds_counts_where_it_is_invented(small_phantom):
    class Invents(torch.nn.Module):
        def forward(self, x):
            return torch.cat([torch.zeros_like(x), torch.zeros_like(x) - 1, torch.ones_like(x)], dim=1)

    cpu, part = torch.device("cpu"), small_phantom.val
    classes = ("object", "tumour")
    masks = predict_masks(Invents(), part, cpu)
    reported = summarise(score_part(masks, part, classes, surface=False))["dice"]
    assert reported == 0.0
    assert validation_dice(Invents(), part, classes, cpu) == reported
