"""``predict``: one mask an input, whatever becomes of the others, and nothing of anybody's overwritten."""

import gzip
import json
import math
import os
import shutil
from pathlib import Path

import finished_study
import nibabel as nib
import numpy as np
import pytest
from image_files import save
from PIL import Image
from volume_files import ball_volume
from volume_files import save as save_volume

from bench import api
from bench.compute.processes import in_own_process, process_context
from bench.data.pictures import read_mask
from bench.errors import UserError
from bench.scoring.evaluation import score_case, summarise
from bench.study.class_colours import PALETTE
from bench.study.store import Study
from bench.using import folder as using_folder
from bench.using.alone import alone_in
from bench.using.folder import predict_files
from bench.using.network import of_study
from bench.using.prediction import predict_array
from bench.using.wishes import Wish


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    """A network for grey images, and for the verb its name."""
    study, job_id = finished_study.finish(tmp_path_factory.mktemp("images"), finished_study.images())
    return f"{study.root}:{job_id}"


@pytest.fixture(scope="module")
def of_volumes(tmp_path_factory):
    study, job_id = finished_study.finish(tmp_path_factory.mktemp("volumes"), finished_study.volumes())
    return f"{study.root}:{job_id}"


@pytest.fixture(scope="module")
def of_slices(tmp_path_factory):
    prepared = finished_study.volumes(slices="axial")
    study, job_id = finished_study.finish(tmp_path_factory.mktemp("slices"), prepared)
    return f"{study.root}:{job_id}"


def grey(path, seed=0, shape=(30, 22)):
    """A grey image of 8 bits."""
    pixels = np.random.default_rng(seed).normal(100, 30, shape).clip(0, 255).astype(np.uint8)
    save(path, pixels)
    return pixels


def volume(path, seed=0):
    save_volume(path, ball_volume(seed, (24, 20, 18))[0], np.diag([1.0, 1.0, 2.0, 1.0]))


def listed(out):
    content = json.loads((out / "predictions.json").read_bytes())
    return {row["case"]: row for row in content["cases"]}


def files(folder):
    """All that lies in a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_images_of_many_kinds(bench, of_images, tmp_path):
    pixels = grey(tmp_path / "in/a.png")
    grey(tmp_path / "in/deep/b.jpg")
    grey(tmp_path / "in/c.tif")
    save(tmp_path / "in/turned.jpg", pixels, orientation=6)
    (tmp_path / "in/notes.txt").write_text("left out")
    result = bench(
        "predict", of_images, tmp_path / "in", "-o", tmp_path / "out", "--overlay", "--device", "cpu"
    )
    assert result.code == 0, result
    assert "4 of 4 masks" in result.out
    assert "left out, neither images nor volumes: 1 .txt" in result.out
    names = ["a.png", "c.png", "deep/b.png", "turned.png"]
    assert files(tmp_path / "out") == sorted(
        [*names, *(f"overlays/{n}" for n in names), "predictions.json"]
    )
    with Image.open(tmp_path / "out/a.png") as mask:
        assert mask.size == (22, 30)
        assert set(np.unique(np.asarray(mask))) <= {0, 255}
    with Image.open(tmp_path / "out/turned.png") as mask:
        assert mask.size == (30, 22), "upright, as it is looked at"
    root, _, job_id = of_images.rpartition(":")
    found = api.predict(api.open_study(root), job_id, pixels)
    assert np.array_equal(read_mask(tmp_path / "out/a.png").values > 0, found > 0)
    row = listed(tmp_path / "out")["a"]
    assert row["status"] == "done"
    assert row["found"] == {"object": int(found.sum())}
    assert row["shape"] == [30, 22]


def test_a_colour_overlay_tints_what_was_found_and_leaves_the_rest(tmp_path):
    network = finished_study.network_of(tmp_path / "s", finished_study.images(channels=3))
    pixels = np.random.default_rng(0).normal(100, 30, (20, 24, 3)).clip(0, 255).astype(np.uint8)
    save(tmp_path / "a.png", pixels)
    predict_files(network, [tmp_path / "a.png"], tmp_path / "out", Wish(overlay=True, device="cpu"))
    mask = read_mask(tmp_path / "out/a.png").values > 0
    shown = np.asarray(Image.open(tmp_path / "out/overlays/a.png"))
    assert 0 < mask.mean() < 1
    assert np.array_equal(shown[~mask], pixels[~mask])
    assert np.allclose(shown[mask], 0.55 * pixels[mask] + 0.45 * np.array(PALETTE[1]), atol=1)


def test_several_classes_are_numbers_with_a_palette(tmp_path):
    prepared = finished_study.images(classes=("one", "two", "three"))
    network = finished_study.network_of(tmp_path / "s", prepared)
    pixels = grey(tmp_path / "a.png")
    [row] = predict_files(network, [tmp_path / "a.png"], tmp_path / "out", Wish(device="cpu"))
    found = predict_array(network.artefact.predict, network.made_for, pixels)
    assert len(np.unique(found)) > 2, "else this says nothing"
    raw = read_mask(tmp_path / "out/a.png")
    assert np.array_equal(raw.values, found)
    assert raw.palette[0] == (0, 0, 0)
    assert row["found"] == {
        name: int((found == k).sum()) for k, name in enumerate(("one", "two", "three"), 1)
    }


# Equal names.


def test_equal_names_in_two_folders_are_two_masks(bench, of_volumes, tmp_path):
    volume(tmp_path / "in/A/imaging.nii.gz", 0)
    volume(tmp_path / "in/B/imaging.nii.gz", 1)
    assert bench("predict", of_volumes, tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["A/imaging.nii.gz", "B/imaging.nii.gz", "predictions.json"]
    one, other = (np.asarray(nib.load(tmp_path / "out" / n / "imaging.nii.gz").dataobj) for n in "AB")
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ("a.png", "A.png"), ("A/a.png", "B/a.png")])
def test_two_masks_of_one_name_are_refused_first(refused, of_images, tmp_path, names):
    for name in names:
        grey(tmp_path / "in" / name)
    nested = "/" in names[0]
    given = [tmp_path / "in" / n for n in ("A", "B")] if nested else [tmp_path / "in"]
    line = refused("predict", of_images, *given, "-o", tmp_path / "out")
    assert "its mask would be" in line
    assert all(name in line for name in names)
    assert not (tmp_path / "out").exists()


def test_x_nii_and_x_nii_gz_are_refused(refused, of_volumes, tmp_path):
    volume(tmp_path / "in/x.nii")
    volume(tmp_path / "in/x.nii.gz")
    assert "x.nii.gz" in refused("predict", of_volumes, tmp_path / "in", "-o", tmp_path / "out")


def test_an_input_is_never_overwritten(refused, bench, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    before = (tmp_path / "in/a.png").read_bytes()
    for more in ((), ("--overwrite",)):
        assert "is an input" in refused("predict", of_images, tmp_path / "in", "-o", tmp_path / "in", *more)
    assert (tmp_path / "in/a.png").read_bytes() == before
    # Masks below the input folder are no inputs of the next run.
    for _ in range(2):
        assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "in/out").code == 0
    assert files(tmp_path / "in/out") == ["a.png", "predictions.json"]


def test_other_peoples_files_stay(refused, bench, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    save(tmp_path / "out/a.png", np.full((4, 4), 7, np.uint8))
    (tmp_path / "out/thesis.txt").write_text("mine")
    before = (tmp_path / "out/a.png").read_bytes()
    line = refused("predict", of_images, tmp_path / "in", "-o", tmp_path / "out")
    assert "no predictions.json, so it is not ours" in line
    assert (tmp_path / "out/a.png").read_bytes() == before
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out", "--overwrite").code == 0
    assert (tmp_path / "out/a.png").read_bytes() != before
    assert (tmp_path / "out/thesis.txt").read_text() == "mine"


# A bad case among good ones.


@pytest.mark.parametrize("network", ["of_volumes", "of_slices"])
def test_bad_volumes_are_named_and_the_others_predicted(bench, request, tmp_path, network):
    for name in ("1good", "2cut", "6good", "5nan"):
        volume(tmp_path / f"in/{name}.nii.gz")
    cut = tmp_path / "in/2cut.nii.gz"
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * 0.6)])
    (tmp_path / "in/3empty.nii.gz").write_bytes(b"")
    save_volume(tmp_path / "in/4four.nii.gz", np.random.default_rng(0).normal(size=(8, 8, 8, 3)))
    image = ball_volume(0, (24, 20, 18))[0]
    image[3, 4, 5] = np.nan
    save_volume(tmp_path / "in/5nan.nii.gz", image)
    result = bench("predict", request.getfixturevalue(network), tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1
    rows = listed(tmp_path / "out")
    reasons = {name: row["reason"] for name, row in rows.items() if row["status"] == "failed"}
    assert len(rows) == 6
    assert "can't be read to the end" in reasons.pop("2cut")
    assert "not a readable NIfTI file" in reasons.pop("3empty")
    assert "is 4-D (8x8x8x3); the network needs 3-D volumes" in reasons.pop("4four")
    assert "1 of 8640 voxels are NaN" in reasons.pop("5nan")
    assert not reasons
    assert files(tmp_path / "out") == ["1good.nii.gz", "6good.nii.gz", "predictions.json"]
    for name in ("2cut", "3empty", "4four", "5nan"):
        assert f"failed: {tmp_path / 'in' / name}.nii.gz: " in result.err
    # Once it is mended, the same command predicts what is missing and nothing else.
    before = (tmp_path / "out/1good.nii.gz").stat().st_mtime_ns
    for name in ("2cut", "3empty", "4four", "5nan"):
        volume(tmp_path / f"in/{name}.nii.gz")
    assert (
        bench("predict", request.getfixturevalue(network), tmp_path / "in", "-o", tmp_path / "out").code
        == 0
    )
    assert len(files(tmp_path / "out")) == 7
    assert (tmp_path / "out/1good.nii.gz").stat().st_mtime_ns == before


def test_bad_images_are_named(bench, of_images, tmp_path):
    grey(tmp_path / "in/good.png")
    (tmp_path / "in/text.png").write_text("no image")
    save(tmp_path / "in/mask.png", np.eye(20, dtype=np.uint8) * 255)
    rng = np.random.default_rng(0)
    save(tmp_path / "in/colour.png", rng.integers(0, 255, (20, 20, 3), np.uint8))
    save(tmp_path / "in/sixteen.png", rng.integers(20_000, 60_000, (20, 20)).astype(np.uint16))
    save(tmp_path / "in/scaled.tif", rng.random((20, 20), np.float32))
    volume(tmp_path / "in/volume.nii.gz")
    result = bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1
    rows = listed(tmp_path / "out")
    said = {name: row.get("reason", "") for name, row in rows.items()}
    assert not said.pop("good")
    assert "not a readable image" in said.pop("text")
    assert "only the values 0, 255: a mask, not an image" in said.pop("mask")
    assert "is in colour; the network needs grey images" in said.pop("colour")
    assert "the network was made for values around" in said.pop("sixteen")
    assert "holds values scaled to" in said.pop("scaled")
    assert "is a volume; the network was made for 2-D grey images" in said.pop("volume")
    assert not said


def test_a_network_for_volumes_says_so(bench, of_slices, tmp_path):
    grey(tmp_path / "in/a.png")
    result = bench("predict", of_slices, tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1
    assert "a.png: is a 2-D image; the network was made for 3-D volumes in one channel" in result.err


def test_a_ct_without_hounsfield_units_is_named(bench, tmp_path):
    rng = np.random.default_rng(0)
    prepared = finished_study.images(window=(-160.0, 240.0))
    study, job_id = finished_study.finish(tmp_path / "s", prepared)
    grey(tmp_path / "in/a.png")
    result = bench("predict", f"{study.root}:{job_id}", tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1
    assert "none below 0; the network was made for Hounsfield units" in result.err
    save(tmp_path / "in/a.tif", rng.normal(0, 100, (20, 20)).astype(np.float32))
    (tmp_path / "in/a.png").unlink()
    assert bench("predict", f"{study.root}:{job_id}", tmp_path / "in", "-o", tmp_path / "out").code == 0


def test_a_case_that_breaks_a_library_ends_nothing(monkeypatch, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    grey(tmp_path / "in/b.png", 1)
    root, _, job_id = of_images.rpartition(":")
    true = using_folder.predict_case

    def fragile(network, one, *rest):
        if one.name == "a":
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 byte")
        return true(network, one, *rest)

    monkeypatch.setattr(using_folder, "predict_case", fragile)
    frame = api.predict_files(
        api.open_study(root), job_id, [tmp_path / "in"], tmp_path / "out", device="cpu"
    )
    assert list(frame.status) == ["failed", "done"]
    assert "a.png: not enough memory; --memory-gb lets" in frame.reason[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:abc", "x"], "no study.json here"),
        (["nowhere", "x"], "or STUDY:ID"),
        (["{images}x", "x"], "is not done"),
        (["{images}", "missing.png"], "missing.png: no such file or folder"),
        (["{images}", "empty"], "nothing to predict; the network was made for 2-D grey images"),
        (["{images}", "in", "--threads", "0"], "--threads 0: must be 1 or more"),
        (["{images}", "in", "--memory-gb", "-1"], "--memory-gb -1: must be positive"),
        (["{images}", "in", "--masks", "empty"], "holds no mask of any input"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    refused, of_images, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    grey(tmp_path / "in/a.png")
    (tmp_path / "empty").mkdir()
    typed = [argument.replace("{images}", of_images) for argument in arguments]
    assert said in refused("predict", *typed, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Half-written files and resuming.


@pytest.fixture
def unbroken(of_images, tmp_path):
    """Four images and their masks."""
    for k in range(4):
        grey(tmp_path / f"in/{k}.png", k)
    root, _, job_id = of_images.rpartition(":")
    predict_files(
        of_study(Study(Path(root)), job_id), [tmp_path / "in"], tmp_path / "whole", Wish(device="cpu")
    )
    return {name: (tmp_path / "whole" / name).read_bytes() for name in files(tmp_path / "whole")}


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, 11))
def test_a_killed_run_is_gone_on_with(bench, of_images, unbroken, tmp_path, moment):
    root, _, job_id = of_images.rpartition(":")
    process = process_context().Process(
        target=finished_study.killed_at,
        args=(moment, Path(root), job_id, tmp_path / "in", tmp_path / "out"),
    )
    process.start()
    process.join(120)
    assert process.exitcode == -9
    left = [name for name in files(tmp_path / "out") if name.endswith(".png") and not name.startswith(".")]
    assert len(left) == (moment - 1) // 2
    assert all((tmp_path / "out" / name).read_bytes() == unbroken[name] for name in left)
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out", "--device", "cpu").code == 0
    assert files(tmp_path / "out") == sorted(unbroken), "nothing half-written is left"
    for name, content in unbroken.items():
        if name != "predictions.json":
            assert (tmp_path / "out" / name).read_bytes() == content


def test_two_commands_do_not_write_to_one_folder(refused, bench, of_images, tmp_path):
    grey(tmp_path / "a.png")
    out = tmp_path / "out"
    with alone_in(out, out / using_folder.HIDDEN):
        said = refused("predict", of_images, tmp_path / "a.png", "-o", out)
    assert f"process {os.getpid()}" in said
    assert "is writing to it" in said
    assert not out.exists(), "who wrote nothing leaves nothing"
    assert bench("predict", of_images, tmp_path / "a.png", "-o", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "predictions.json"]


def test_a_folder_without_hard_links_will_do(bench, of_images, tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("bench.files.lease.os.link", link)
    grey(tmp_path / "a.png")
    assert bench("predict", of_images, tmp_path / "a.png", "-o", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.png", "predictions.json"]


def test_what_is_finished_is_not_predicted_again(bench, of_images, unbroken, tmp_path, monkeypatch):
    del unbroken
    asked = []
    monkeypatch.setattr(using_folder, "predict_case", lambda network, one, *rest: asked.append(one.name))
    result = bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "whole")
    assert result.code == 0
    assert not asked
    assert "4 cases for" in result.out
    assert "4 finished before" in result.out


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    bench, refused, of_images, tmp_path, monkeypatch
):
    for k in range(3):
        grey(tmp_path / f"in/{k}.png", k)
    true, count = using_folder.write_mask, [0]

    def full(*arguments):
        count[0] += 1
        if count[0] == 2:
            raise OSError(28, os.strerror(28))
        true(*arguments)

    monkeypatch.setattr(using_folder, "write_mask", full)
    line = refused("predict", of_images, tmp_path / "in", "-o", tmp_path / "out")
    assert "no space left on device" in line
    assert files(tmp_path / "out") == ["0.png", "predictions.json"]
    assert [row["status"] for row in listed(tmp_path / "out").values()] == ["done", "waiting", "waiting"]
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert count[0] == 4, "the first one was finished"


def test_masks_of_other_weights_are_not_taken_over(bench, refused, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    study, job_id = finished_study.finish(tmp_path / "other", finished_study.images(), seed=5)
    other = f"{study.root}:{job_id}"
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out").code == 0
    before = (tmp_path / "out/a.png").read_bytes()
    assert "masks of another network" in refused("predict", other, tmp_path / "in", "-o", tmp_path / "out")
    assert (tmp_path / "out/a.png").read_bytes() == before
    assert bench("predict", other, tmp_path / "in", "-o", tmp_path / "out", "--overwrite").code == 0
    assert bench("predict", other, tmp_path / "in", "-o", tmp_path / "fresh").code == 0
    assert (tmp_path / "out/a.png").read_bytes() == (tmp_path / "fresh/a.png").read_bytes() != before


def test_a_changed_image_or_mask_is_not_overwritten_in_silence(bench, refused, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out").code == 0
    grey(tmp_path / "in/a.png", seed=9)
    assert "is the mask of another image" in refused(
        "predict", of_images, tmp_path / "in", "-o", tmp_path / "out"
    )
    assert bench("predict", of_images, tmp_path / "in", "-o", tmp_path / "out", "--overwrite").code == 0
    save(tmp_path / "out/a.png", np.zeros((30, 22), np.uint8))
    assert "was changed after" in refused("predict", of_images, tmp_path / "in", "-o", tmp_path / "out")


def test_a_list_from_somewhere_leads_nowhere(refused, of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    path = tmp_path / "out/predictions.json"
    for content in (b"{", b"[]", b'{"network": {"identity": "x", "label": "y"}, "cases": [{"output": 3}]}'):
        path.write_bytes(content)
        refused("predict", of_images, tmp_path / "in", "-o", tmp_path / "out")
        assert path.read_bytes() == content


# Threads.


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_threads_follow_the_affinity(of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    root, _, job_id = of_images.rpartition(":")
    found = in_own_process(
        finished_study.on_one_core, Path(root), job_id, tmp_path / "in", tmp_path / "out"
    )
    assert found == (1, 1)


# Large volumes.


def test_large_volumes_in_blocks_are_the_same(bench, of_volumes, tmp_path):
    image = ball_volume(0, (16, 18, 60))[0]
    save_volume(tmp_path / "in/a.nii.gz", image, np.diag([-1.0, 1.0, 2.0, 1.0]))
    for out, more in (("whole", ()), ("blocks", ("--memory-gb", "0.0005"))):
        given = ("predict", of_volumes, tmp_path / "in", "-o", tmp_path / out, "--overlay", *more)
        result = bench(*given)
        assert result.code == 0
        assert ("blocks, for memory is short" in result.out) == (out == "blocks")
    assert files(tmp_path / "blocks") == files(tmp_path / "whole"), "nothing of the work is left"
    one, other = (nib.load(tmp_path / out / "a.nii.gz") for out in ("whole", "blocks"))
    assert np.array_equal(one.affine, other.affine)
    assert (np.asarray(one.dataobj) != np.asarray(other.dataobj)).mean() < 1e-4


def test_a_small_file_that_says_to_be_huge_is_named(bench, of_volumes, tmp_path):
    volume(tmp_path / "in/a.nii")
    header = bytearray((tmp_path / "in/a.nii").read_bytes())
    header[42:48] = np.array([1200, 1200, 1200], "<i2").tobytes()
    (tmp_path / "in/b.nii.gz").write_bytes(gzip.compress(bytes(header)))
    (tmp_path / "in/c.nii").write_bytes(bytes(header))
    result = bench("predict", of_volumes, tmp_path / "in", "-o", tmp_path / "out", "--memory-gb", "0.5")
    assert result.code == 1
    rows = listed(tmp_path / "out")
    assert [rows[name]["status"] for name in "abc"] == ["done", "failed", "failed"]
    assert all("can't be read to the end" in rows[name]["reason"] for name in "bc")


# Scores.


def test_scores_are_those_of_the_harness(bench, of_images, tmp_path):
    rng = np.random.default_rng(3)
    truths = {}
    for k in range(3):
        grey(tmp_path / f"in/{k}.png", k)
        truths[str(k)] = (rng.random((30, 22)) < 0.4).astype(np.uint8) * (k != 2)
        save(tmp_path / f"masks/{k}.tif", truths[str(k)] * 255)
    grey(tmp_path / "in/bare.png", 5)
    result = bench(
        *("predict", of_images, tmp_path / "in", "-o", tmp_path / "out", "--masks", tmp_path / "masks")
    )
    assert result.code == 0
    assert "1 cases have no mask" in result.err
    assert " px, nsd at 1 px " in result.out, "images without a spacing"
    rows, expected = listed(tmp_path / "out"), []
    for case, truth in truths.items():
        predicted = (read_mask(tmp_path / f"out/{case}.png").values > 0).astype(np.uint8)
        scores = {"organ_size": int(truth.sum()), **score_case(predicted, truth, ("object",), surface=True)}
        found = rows[case]["scores"]
        assert found == {name: None if math.isnan(value) else value for name, value in scores.items()}
        expected.append({"case": case, "patient": case, **scores})
        if case == "2":
            assert found["false_positive_area"] == predicted.sum() > 0
            assert found["false_positive_share"] == predicted.mean()
    content = json.loads((tmp_path / "out/predictions.json").read_bytes())
    assert content["scores"]["dice"] == pytest.approx(summarise(expected)["dice"])
    lines = (tmp_path / "out/cases.csv").read_text().splitlines()
    assert lines[0].startswith("case,organ_size,dice,precision,sensitivity,hd95,nsd")
    assert len(lines) == 4


@pytest.mark.parametrize("values", [(128, 255), (2, 4)])
def test_the_training_datas_own_values_are_read(bench, tmp_path, values):
    """By them; by numbers as predicted too, unless one is another class's value, as 2 in (2, 4)."""
    prepared = finished_study.images(classes=("polyp", "tool"), values=values)
    study, job_id = finished_study.finish(tmp_path / "study", prepared)
    assert study.record(job_id)["dataset"]["values"] == list(values)
    for name in ("own", "ranks"):
        grey(tmp_path / f"in/{name}.png", 1)
    truth = np.random.default_rng(3).integers(0, 3, (30, 22)).astype(np.uint8)
    save(tmp_path / "masks/own.png", np.array([0, *values], np.uint8)[truth])
    save(tmp_path / "masks/ranks.png", truth)
    result = bench(
        *("predict", f"{study.root}:{job_id}", tmp_path / "in", "-o", tmp_path / "out"),
        *("--masks", tmp_path / "masks"),
    )
    rows = listed(tmp_path / "out")
    assert rows["own"]["scores"]["organ_size"] == np.count_nonzero(truth)
    if values == (2, 4):
        assert "undeclared label 1; declared are 0 background, 2 polyp, 4 tool" in result.err
    else:
        assert rows["ranks"]["scores"] == rows["own"]["scores"]


def test_masks_that_do_not_fit_are_named(bench, of_volumes, tmp_path):
    for name in ("fits", "moved", "small", "wider"):
        volume(tmp_path / f"in/{name}_0000.nii.gz")
    label, affine = ball_volume(0, (24, 20, 18))[1] > 0, np.diag([1.0, 1.0, 2.0, 1.0])
    # As another program has it: the axes in another order, at the same place.
    own = nib.orientations.axcodes2ornt("RAS")
    turned = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt("LPI"))
    (tmp_path / "masks").mkdir()
    nib.save(
        nib.Nifti1Image(label.astype(np.uint8), affine).as_reoriented(turned),
        tmp_path / "masks/fits.nii.gz",
    )
    moved = affine.copy()
    moved[0, 3] = 9
    save_volume(tmp_path / "masks/moved.nii", label.astype(np.uint8), moved)
    save_volume(tmp_path / "masks/small.nii.gz", np.zeros((4, 4, 4), np.uint8), affine)
    # So little wider that no entry of the affine tells, but the far corner does.
    save_volume(tmp_path / "masks/wider.nii.gz", label.astype(np.uint8), np.diag([1.04, 1.0, 2.0, 1.0]))
    result = bench(
        *("predict", of_volumes, tmp_path / "in", "-o", tmp_path / "out", "--masks", tmp_path / "masks")
    )
    assert result.code == 1
    rows = listed(tmp_path / "out")
    assert rows["fits_0000"]["scores"]["organ_size"] == label.sum()
    faults = {
        "moved": "mask lies 9 voxels away from its image",
        "small": "mask is 4x4x4, its image 24x20x18",
        "wider": "they must have the same spacing",
    }
    for name, fault in faults.items():
        assert rows[f"{name}_0000"]["status"] == "done"
        assert fault in rows[f"{name}_0000"]["score_fault"]
        assert f"not scored: {tmp_path / 'masks' / name}" in result.err


# Several channels.


def test_channels_come_in_one_file_or_one_each(bench, tmp_path):
    study, job_id = finished_study.finish(tmp_path / "s", finished_study.volumes(channels=2))
    one, other = (ball_volume(k, (24, 20, 18))[0] for k in range(2))
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    save_volume(tmp_path / "in/both.nii.gz", np.stack([one, other], axis=-1), affine)
    save_volume(tmp_path / "in/each_0000.nii.gz", one, affine)
    save_volume(tmp_path / "in/each_0001.nii.gz", other, affine)
    save_volume(tmp_path / "in/half_0001.nii.gz", other, affine)
    result = bench("predict", f"{study.root}:{job_id}", tmp_path / "in", "-o", tmp_path / "out")
    assert result.code == 1
    assert "half_0001.nii.gz: has the channels 0001; the network needs _0000, _0001" in result.err
    both, each = (np.asarray(nib.load(tmp_path / f"out/{n}.nii.gz").dataobj) for n in ("both", "each"))
    assert np.array_equal(both, each)
    assert files(tmp_path / "out") == ["both.nii.gz", "each.nii.gz", "predictions.json"]


def test_from_python(of_images, tmp_path):
    grey(tmp_path / "in/a.png")
    root, _, job_id = of_images.rpartition(":")
    study = api.open_study(root)
    frame = api.predict_files(study, job_id, [str(tmp_path / "in")], str(tmp_path / "out"))
    assert list(frame.status) == ["done"]
    with pytest.raises(TypeError, match="colour"):
        api.predict_files(study, job_id, [tmp_path / "in"], tmp_path / "out", colour="red")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(UserError, match="no such file or folder"):
        api.predict_files(study, job_id, [tmp_path / "in"], tmp_path / "out")


def test_a_network_of_a_plug_in_that_is_not_here_names_it(refused, tmp_path):
    changes = {"architecture": "mine-8", "plugin": "0123456789abcdef"}
    study, job_id = finished_study.finish(tmp_path / "s", finished_study.images(), **changes)
    study.keep_plugins({"0123456789abcdef": "mine.py 1.2"})
    grey(tmp_path / "a.png")
    line = refused("predict", f"{study.root}:{job_id}", tmp_path / "a.png", "-o", tmp_path / "out")
    assert "mine.py 1.2" in line
