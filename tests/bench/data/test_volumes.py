"""Volumes: their grid, their patches, how they are predicted and scored, and a whole study of them."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import short_jobs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_files import write_decathlon

from bench.data import phantom
from bench.data.dataset import Dataset
from bench.data.prepared import Scored
from bench.data.prepared_volumes import PreparedVolumes
from bench.data.splits import Split
from bench.data.stream import SampleStream, deal
from bench.scoring.evaluation import predict_masks, predict_volume, score_part, surface_scores
from bench.study.store import Study


def dataset_of(shapes, spacing=None, modalities=("MRI",), window=None, seed=0):
    """Random volumes, one a patient; labels where the first channel is above its mean."""
    rng = np.random.default_rng(seed)
    channels = len(modalities)
    images = [rng.normal(100, 30, (channels, *shape)).astype(np.float32) for shape in shapes]
    names = tuple(f"case{k}" for k in range(len(shapes)))
    return Dataset(
        name="made", cases=names, patients=names, images=images,
        masks=[(image[0] > 100).astype(np.uint8) for image in images], classes=("object",),
        fingerprint="f", window=window, spacing=tuple(spacing or [(1.0, 1.0, 1.0)] * len(shapes)),
        modalities=modalities,
    )  # fmt: skip


def volumes_of(dataset, image_size=16, val=1, test=1):
    names = dataset.cases
    split = Split(names[: -val - test], names[-val - test : -test], names[-test:])
    return PreparedVolumes(dataset, split, image_size)


def test_small_volumes_are_seen_whole_and_large_ones_in_patches():
    dataset = dataset_of([(10, 20, 9), (12, 18, 16), (11, 19, 8), (9, 9, 9)])
    assert volumes_of(dataset, 32).patch == (16, 32, 16), "no larger than the volumes, in steps of 16"
    assert volumes_of(dataset, 8).patch == (8, 8, 8)
    assert volumes_of(dataset, 32).spatial_dims == 3


def test_an_epoch_has_the_voxels_of_all_slices():
    volumes = volumes_of(dataset_of([(40, 30, 50)] * 30 + [(16, 16, 16)] * 2), 16)
    # Slices of 40 x 30 pixels hold 30 x 50 of them; a patch has 16 x 16 x 16 voxels.
    expected = 30 * 50 * 40 * 30 / 16**3
    assert volumes.samples % 16 == 0
    assert abs(volumes.samples - expected) <= 8
    # Padded: 10 x 10 pixels of 40 slices count as 16 x 16.
    padded = volumes_of(dataset_of([(10, 10, 40)] * 100), 16)
    assert abs(padded.samples - 98 * 40 / 16) <= 8
    assert volumes_of(dataset_of([(10, 10, 10)] * 3), 16).samples == 16, "one batch at least"


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 60))
def test_every_case_is_dealt_once_before_any_comes_again(seed, cases, first):
    cards = deal(seed, 0, 3 * cases, cases)
    for deck in range(3):
        assert sorted(cards[deck * cases : (deck + 1) * cases]) == list(range(cases))
    assert deal(seed, first, 5, cases) == deal(seed, 0, first + 5, cases)[first:]


def test_samples_are_a_pure_function_of_seed_epoch_and_batch():
    volumes = volumes_of(dataset_of([(40, 20, 30)] * 6))
    stream = SampleStream(volumes, seed=3)
    first = stream.batch(2, 1)
    stream.batch(0, 0)
    again = SampleStream(volumes_of(volumes.dataset), 3).batch(2, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (16, 1, 16, 16, 16)
    assert first[1].shape == (16, 16, 16, 16)
    for other in (stream.batch(2, 0), stream.batch(3, 1), SampleStream(volumes, 4).batch(2, 1)):
        assert not torch.equal(first[0], other[0])


def test_patches_are_pieces_of_their_volume_with_their_labels():
    dataset = dataset_of([(40, 12, 30)] * 5)
    volumes = volumes_of(dataset)
    images, labels = SampleStream(volumes, 0).unaugmented(0, 0)
    inner = slice(2, 14)  # 12 voxels are padded by 2 on either side
    assert (images[:, :, :, :2] == 0).all() and (images[:, :, :, 14:] == 0).all()
    mean, std = dataset.images[0].mean(), dataset.images[0].std()
    whole = (dataset.images[0][0] - mean) / std
    windows = np.lib.stride_tricks.sliding_window_view(whole, (16, 12, 16)).reshape(-1, 16, 12, 16)
    own = [k for k, case in enumerate(deal(0, 0, 16, 3)) if case == 0]
    assert own
    for k in own:
        distance = np.abs(windows - images[k, 0, :, inner].numpy()).max(axis=(1, 2, 3))
        assert distance.min() < 1e-4
    # Labels move with the images: the object is what is above 100.
    for k in own:
        assert np.array_equal(
            labels[k, :, inner].numpy() > 0, images[k, 0, :, inner].numpy() > (100 - mean) / std
        )


def test_every_place_of_a_volume_is_seen():
    dataset = dataset_of([(20, 16, 16)] * 3)
    dataset.images[0][:] = np.arange(20)[None, :, None, None]
    volumes = volumes_of(dataset)
    firsts = set()
    for epoch in range(6):
        firsts |= {
            round(float(x), 3) for x in SampleStream(volumes, 0).unaugmented(epoch, 0)[0][:, 0, 0, 0, 0]
        }
    assert len(firsts) == 5


def test_magnetic_resonance_is_normalised_per_volume():
    dataset = dataset_of([(16, 16, 16)] * 5, modalities=("MRI", "T2"))
    for k, image in enumerate(dataset.images):
        image[:] = image * 10.0**k
    volumes = volumes_of(dataset)
    for image in (
        SampleStream(volumes, 0).unaugmented(0, 0)[0][0],
        volumes.val.images[0],
        volumes.test.images[0],
    ):
        assert torch.allclose(image.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-4)
        assert torch.allclose(image.std(dim=(1, 2, 3)), torch.ones(2), atol=1e-3)
    assert volumes.facts()["normalisation"] == ["per volume", "per volume"]


def test_ct_is_clipped_and_normalised_by_the_training_volumes_alone():
    dataset = dataset_of([(16, 16, 16)] * 5, modalities=("CT",), window=(80.0, 120.0))
    volumes = volumes_of(dataset)
    clipped = np.clip(np.stack(dataset.images[:3]), 80, 120)
    expected = (np.clip(dataset.images[3], 80, 120) - clipped.mean()) / clipped.std()
    assert np.allclose(volumes.val.images[0], expected, atol=1e-4)
    dataset.images[3][:] = dataset.images[4][:] = 1e4
    assert volumes_of(dataset).ct == volumes.ct
    # Without a window: percentiles of what is labelled in training volumes.
    own = volumes_of(dataclasses.replace(dataset, window=None)).ct[0]
    inside = np.concatenate([dataset.images[k][0][dataset.masks[k] > 0] for k in range(3)])
    assert own[:2] == pytest.approx(np.percentile(inside, (0.5, 99.5)))


def test_spacing_is_honoured():
    """Volumes of one object at other spacings look alike to networks; scores are taken as stored."""
    fine = dataset_of([(32, 16, 16)] * 5)
    ramp = np.broadcast_to(np.linspace(0, 1, 32)[:, None, None], (32, 16, 16))
    for k in range(5):
        fine.images[k][0] = ramp
        fine.masks[k][:] = ramp > 0.5
    fine.images[3], fine.masks[3] = fine.images[3][:, ::2].copy(), fine.masks[3][::2].copy()
    spacing = [(1.0, 1.0, 1.0)] * 5
    spacing[3] = (2.0, 1.0, 1.0)
    volumes = volumes_of(dataclasses.replace(fine, spacing=tuple(spacing)), 32)
    assert volumes.spacing == (1, 1, 1)
    [coarse] = volumes.val.images
    [stored] = volumes.test.images
    assert coarse.shape == stored.shape
    assert (coarse - stored).abs().mean() < 0.06
    assert volumes.val.masks[0].shape == (16, 16, 16)
    predicted = predict_masks(lambda x: 10 * x, volumes.val, "cpu")
    [row] = score_part(predicted, volumes.val, ("object",))
    assert row["dice"] > 0.93


def test_anisotropic_distances_are_in_millimetres():
    a, b = np.zeros((2, 9, 9, 9), bool)
    a[2:5, 2:5, 2:5] = True
    b[2:5, 2:5, 3:6] = True
    scores = surface_scores(a, b, (1.0, 1.0, 2.5))
    assert scores["hd95"] == pytest.approx(2.5)
    assert surface_scores(a, b, (1.0, 1.0, 1.0))["nsd"] == pytest.approx(1)
    assert scores["nsd"] < 1
    assert surface_scores(a, ~a & a, (3.0, 4.0, 0.0))["hd95"] == pytest.approx(9 * 5)


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.integers(1, 20)] * 3), st.sampled_from([(8, 8, 8), (16, 8, 16)]))
def test_windows_put_together_give_the_volume_back(shape, patch):
    image = torch.rand(2, *shape)
    sizes = set()

    def same(x):
        sizes.add(tuple(x.shape[2:]))
        return x.clone()

    assert torch.allclose(predict_volume(same, image, patch), image[None], atol=1e-5)
    assert sizes == {patch}


def test_several_classes_are_decided_and_scored_one_by_one():
    truth = np.zeros((8, 8, 8), np.uint8)
    truth[1:4, 1:4, 1:4], truth[5:7, 5:7, 5:7] = 1, 2
    image = torch.from_numpy(truth).float()[None]
    part = Scored(("a",), ("p",), [image], [truth], ((1.0, 1.0, 2.0),), (8, 8, 8))

    def misses_the_second(x):
        return torch.cat([0.5 - (x == 1).float(), (x == 1).float(), -torch.ones_like(x)], dim=1)

    [row] = score_part(predict_masks(misses_the_second, part, "cpu"), part, ("one", "two"))
    assert (row["dice_one"], row["dice_two"], row["dice"]) == (1, 0, 0.5)
    assert row["hd95_two"] == pytest.approx(math.hypot(8, 8, 16))
    assert (row["nsd_one"], row["nsd_two"]) == (1, 0)


def test_the_phantom_in_three_dimensions():
    dataset = phantom.volumes(side=32, patients=4)
    assert dataset.synthetic
    assert dataset.images[0].shape == (1, 32, 32, 32)
    again, mask = phantom.render_volume(2, 32, 0)
    assert np.array_equal(again, dataset.images[2]) and np.array_equal(mask, dataset.masks[2])
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, 32)] * 3, indexing="ij")
    for image, liver in zip(dataset.images, dataset.masks, strict=True):
        assert 0.01 < liver.mean() < 0.2
        assert x[liver > 0].mean() > 0.1, "on the right"
        bone = image[0] > 300
        assert y[bone].mean() < 0, "the spine is at the back"
    # The first plane is the lowest one, seen with right and front up.
    feet = phantom.TOP_MM + phantom.HEIGHT_MM * 31.5 / 32
    _, plane = phantom._slice(phantom.anatomy(np.random.default_rng([0, 2])), feet, 32)
    assert np.array_equal(mask[..., 0], plane.T[::-1, ::-1])
    assert np.prod(dataset.spacing[0]) == pytest.approx(370 * 370 * 240 / 32**3)


def test_slices_are_those_of_the_volumes_and_hold_as_many_voxels():
    dataset = dataset_of([(12, 18, 20), (16, 20, 30), (9, 9, 25)] * 6)
    volumes = volumes_of(dataset, 32)
    sliced = dataclasses.replace(volumes, slices="axial")
    assert (volumes.patch, sliced.patch) == ((16, 32, 32), (16, 32))
    seen = [v.samples * math.prod(v.patch) for v in (volumes, sliced)]
    assert seen[0] == pytest.approx(seen[1], abs=8 * 16 * 32 * 32)
    total = sum(mask.shape[2] for mask in dataset.masks[:16])
    assert abs(sliced.samples - total) <= 8, "every slice once an epoch, but for the last batch"
    images, labels = SampleStream(sliced, 0).unaugmented(0, 0)
    assert images.shape == (16, 1, 16, 32) and labels.shape == (16, 16, 32)
    planes = {plane.tobytes() for mask in dataset.masks[:16] for plane in np.moveaxis(mask, 2, 0)}
    whole = [labels[k].numpy() for k in range(16)]
    unpadded = [p[2:14, 7:25] for p in whole]
    assert any(np.ascontiguousarray(p).tobytes() in planes for p in unpadded)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(1, 20)] * 3))
def test_slices_put_together_give_the_volume_back(shape):
    image = torch.rand(2, *shape)
    assert torch.allclose(predict_volume(torch.clone, image, (8, 8)), image[None], atol=1e-5)


def test_slices_and_volumes_are_scored_alike():
    dataset = dataset_of([(16, 16, 16)] * 5)
    volumes = volumes_of(dataset)
    sliced = dataclasses.replace(volumes, slices="axial")
    rows = [
        score_part(predict_masks(torch.clone, v.val, "cpu"), v.val, ("object",)) for v in (volumes, sliced)
    ]
    assert rows[0] == rows[1]
    assert rows[0][0]["dice"] > 0.99


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of volumes, run through the command line in this process' children."""
    from typer.testing import CliRunner

    from bench.cli import app

    root = tmp_path_factory.mktemp("volumes")
    folder = write_decathlon(root / "Balls", count=24, shape=(14, 18, 12))
    matrix = root / "tiny.yaml"
    matrix.write_text(
        "teacher: unet-4-8\nstudents: [unet-2-4]\nmethods: [combined]\nupdates: 80\nworkers: 2\n"
    )
    study = root / "study"
    arguments = [
        "--matrix",
        matrix,
        "--dataset",
        folder,
        "--patient-key",
        r"person(\d+)",
        "--results",
        study,
    ]
    with pytest.MonkeyPatch.context() as patch:
        short_jobs.profile_briefly(patch.setattr, memory=True)
        patch.setattr("bench.report.report.write_figures", lambda *_: [])
        result = CliRunner().invoke(app, [str(a) for a in (*arguments, "--image-size", 16)])
    assert result.exit_code == 0, result.output
    return study, folder, matrix


@pytest.mark.slow
def test_a_study_of_volumes(finished):
    root, _, _ = finished
    study = Study(root)
    assert {record["status"] for record in study.records()} == {"done"}
    assert {record["job"]["dataset"] for record in study.records()} == {"Balls"}
    assert all(tuple(record["job"]["patch"]) == (16, 16, 16) for record in study.records())
    frame = pd.read_csv(root / "summary.csv")
    assert (frame.spatial_dims == 3).all()
    assert (frame.updates >= 20).all()
    assert (frame.voxels_seen == frame.updates * 16 * 16**3).all()
    cases = pd.read_csv(root / "cases.csv")
    for measure in ("dice", "hd95", "nsd"):
        names = [f"{measure}_Front", f"{measure}_Back"]
        assert np.allclose(cases[names].mean(axis=1), cases[measure])
        assert np.allclose(
            frame[[f"{measure}_Front_val", f"{measure}_Back_val"]].mean(axis=1), frame[f"{measure}_val"]
        )
    people = cases.patient.astype(str).str.zfill(2)
    assert (people == cases.case.str[6:8]).all()
    latency = pd.read_csv(root / "latency.csv")
    assert sorted(latency["shape"].unique()) == ["1x1x14x18x12", "1x1x16x16x16"]
    assert frame.latency_volume_cpu_ms_p50.notna().all()
    assert "16³" in (root / "tables" / "matrix.md").read_text()
    assert (root / "figures" / "cases.png").stat().st_size > 5000


@pytest.mark.slow
def test_slices_are_a_row_beside_their_volumes(finished, bench, brief_profile, no_figures):
    root, folder, matrix = finished
    arguments = ("--matrix", matrix, "--dataset", folder, "--results", root, "--image-size", 16)
    result = bench(*arguments, "--slices", "axial", "--only", "unet-4-8:baseline")
    assert "1 jobs, 0 done, 1 to run" in result.out, result.err
    table = pd.read_csv(root / "tables" / "dimensions.csv")
    assert list(table.network) == ["unet-4-8"] * 2
    assert sorted(table.sees) == ["axial slices", "volumes"]
    by_kind = table.set_index("sees")
    assert {float(str(by_kind.updates[kind]).replace(",", "")) for kind in by_kind.index} == {80.0}
    seen = by_kind["voxels seen, millions"].astype(float)
    assert seen["volumes"] == pytest.approx(16 * seen["axial slices"], rel=0.01), "a patch is 16 slices"
    assert table.notna().all().all()
    frame = pd.read_csv(root / "summary.csv")
    assert set(frame.spatial_dims) == {2, 3}
    assert frame[frame.spatial_dims == 2].slices.unique().tolist() == ["axial"]
    cases = pd.read_csv(root / "cases.csv")
    assert cases.groupby("id").case.apply(tuple).nunique() == 1, "scored on the same volumes"


def test_a_study_of_volumes_knows_its_data_again(finished, bench, refused, no_figures):
    root, folder, matrix = finished
    arguments = ("--matrix", matrix, "--dataset", folder, "--results", root, "--image-size", 16)
    assert bench(*arguments, "--dry-run").out.count("done") == 2, "the patient key is remembered"
    assert "known: axial" in refused(*arguments, "--slices", "oblique")
    assert "was begun with data" in refused(*arguments, "--patient-key", "person..")
    assert "2 jobs, 2 done" in bench(*arguments).out
