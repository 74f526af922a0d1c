"""``export``: a bundle that gives the study's masks without torch and without this project."""

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import finished_study
import nibabel as nib
import numpy as np
import pytest
import torch
from commands import missing, needs
from image_files import save
from nibabel.orientations import axcodes2ornt, ornt_transform
from PIL import Image
from torch.nn import functional as F
from volume_files import AXCODES, ball_volume, scanned
from volume_files import save as save_volume

from bench import api
from bench.compute.processes import in_own_process
from bench.data.pictures import read_mask
from bench.errors import UserError
from bench.files.atomic import HOST
from bench.study.class_colours import PALETTE
from bench.study.store import Study
from bench.using.alone import alone_in
from bench.using.bundle import DESCRIPTION, of_bundle
from bench.using.export import as_graph, export
from bench.using.folder import predict_files
from bench.using.named import named
from bench.using.standalone.scripts.steps import stretch
from bench.using.wishes import ExportWish, Wish
from methods import Material
from methods.artefact import TorchArtefact
from methods.converting.steps import NEEDED
from methods.converting.steps import Int8 as ToInt8

WINDOWS = """
import pathlib, platform

platform.machine = lambda: "AMD64"
is_file = pathlib.Path.is_file
pathlib.Path.is_file = lambda self: str(self) != "/proc/cpuinfo" and is_file(self)
"""
"""Makes a process believe that it runs there."""
FOREIGN = ("torch", "bench", "methods", "architectures", "monai", "onnx", "scipy", "pandas", "pydantic")
"""What a bundle must do without."""
ALONE = f"""
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FOREIGN}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
KINDS = {
    "grey": lambda: finished_study.images(window=(60.0, 150.0)),
    "colour": lambda: finished_study.images(channels=3),
    "classes": lambda: finished_study.images(classes=("one", "two", "three")),
    "volumes": finished_study.volumes,
    "ct": lambda: finished_study.volumes(modality="CT", window=(-60.0, 150.0)),
    "slices": lambda: finished_study.volumes(slices="axial"),
}


def alone(
    bundle: Path, *arguments: object, code: int = 0, cores: int = 0, first: str = ""
) -> subprocess.CompletedProcess:
    """``predict.py`` of a bundle, in a process that has neither torch nor this project.

    ``cores``: how many it may use; 0: all. ``first``: what the process runs before.
    """
    command = [sys.executable, "-I", "-c", first + ALONE, bundle / "predict.py", *arguments]
    allowed = sorted(os.sched_getaffinity(0))[: cores or None]
    done = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


def inputs(kind: str, folder: Path) -> list[Path]:
    """Some files that such a network takes, smaller and larger than what it sees."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    if KINDS[kind]().patch:
        turned = np.diag([-1.0, 1.0, 1.5, 1.0])[[1, 0, 2, 3]]
        turned[:3, 3] = (5, -7, 2)
        for number, affine in enumerate((np.diag([1.0, 1.0, 2.0, 1.0]), turned)):
            found.append(folder / f"v{number}.nii.gz")
            save_volume(found[-1], ball_volume(number, (26, 20, 18))[0] - 50, affine)
        return found
    for number, shape in enumerate(((30, 22), (9, 12), (64, 80))):
        sides = (*shape, 3) if kind == "colour" else shape
        pixels = np.random.default_rng(number).normal(100, 30, sides).clip(0, 255).astype(np.uint8)
        found.append(folder / f"i{number}.png")
        save(found[-1], pixels)
    return found


def masks(folder: Path) -> dict[str, np.ndarray]:
    """All masks in a folder, as they are stored."""
    read = {path.name: np.asarray(nib.load(path).dataobj) for path in folder.glob("*.nii.gz")}
    return read | {path.name: read_mask(path).values for path in folder.glob("*.png")}


def exported(root: Path, kind: str, runtime: str = "onnxruntime", **wishes) -> tuple[str, Path]:
    """A study's network by its name, and its bundle."""
    for package in NEEDED[runtime]:
        needs(package)
    study, job_id = finished_study.finish(root / "study", KINDS[kind]())
    export(study, job_id, root / "bundle", ExportWish(runtime=runtime, **wishes))
    return f"{study.root}:{job_id}", root / "bundle"


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A bundle for grey images, and the network that it was made of."""
    return exported(tmp_path_factory.mktemp("grey"), "grey")


@pytest.fixture
def copy(grey, tmp_path):
    """One to be broken."""
    shutil.copytree(grey[1], tmp_path / "copy")
    return tmp_path / "copy"


def changed(bundle: Path, change) -> None:
    """The description with something else in it."""
    path = bundle / DESCRIPTION
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


# What it gives.


@pytest.mark.parametrize("runtime", list(NEEDED))
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_masks_are_the_studys(tmp_path, kind, runtime):
    network, bundle = exported(tmp_path, kind, runtime)
    given = inputs(kind, tmp_path / "in")
    alone(bundle, *given, "-o", tmp_path / "alone")
    predict_files(of_bundle(bundle), given, tmp_path / "ours", Wish(device="cpu"))
    predict_files(named(network), given, tmp_path / "torch", Wish(device="cpu"))
    alone_, ours, theirs = (masks(tmp_path / name) for name in ("alone", "ours", "torch"))
    assert list(alone_) == list(ours) == list(theirs)
    assert len(ours) == len(given)
    for name, mask in alone_.items():
        assert 0 < (mask > 0).mean() < 1, "else this says nothing"
        assert np.array_equal(mask, ours[name]), "the same runtime"
        assert (mask != theirs[name]).mean() <= 1e-4
    for path in (tmp_path / "alone").glob("*.nii.gz"):
        mask, image = nib.load(path), nib.load(tmp_path / "in" / path.name)
        assert np.allclose(mask.affine, image.affine)
        assert nib.aff2axcodes(mask.affine) == nib.aff2axcodes(image.affine)
        assert mask.header["sform_code"] == image.header["sform_code"]


def test_the_order_of_axes_changes_nothing(tmp_path):
    """All 48 of them, a volume that lies askew, and headers with one form."""
    _, bundle = exported(tmp_path, "volumes")
    own = axcodes2ornt("RAS")
    scans = {code: scanned().as_reoriented(ornt_transform(own, axcodes2ornt(code))) for code in AXCODES}
    scans |= {"askew": scanned(20), "sform": scanned(20), "qform": scanned(20)}
    scans["sform"].set_qform(None, 0)
    scans["qform"].set_sform(None, 0)
    (tmp_path / "in").mkdir()
    for name, image in scans.items():
        nib.save(image, tmp_path / "in" / f"{name}.nii.gz")
    alone(bundle, *sorted((tmp_path / "in").iterdir()), "-o", tmp_path / "alone")
    predict_files(of_bundle(bundle), [tmp_path / "in"], tmp_path / "ours", Wish(device="cpu"))
    for name in scans:
        one, other = (nib.load(tmp_path / where / f"{name}.nii.gz") for where in ("alone", "ours"))
        assert np.array_equal(one.dataobj, other.dataobj), name
        assert np.allclose(one.affine, other.affine, atol=1e-4), name
        for field in ("qform_code", "sform_code"):
            assert one.header[field] == other.header[field], name


@pytest.mark.parametrize("sides", [(9, 40), (40, 9), (33, 33), (7, 5)])
def test_resizing_is_torchs(sides):
    """Pillow's is antialiased, as the images are; the plain one is as logits and volumes are resized."""
    x = np.random.default_rng(0).normal(size=(1, *sides)).astype(np.float32)
    wanted = F.interpolate(torch.from_numpy(x)[None], (16, 16), mode="bilinear", antialias=True)[0].numpy()
    pillow = np.asarray(Image.fromarray(x[0]).resize((16, 16), Image.Resampling.BILINEAR))
    assert np.abs(pillow - wanted[0]).max() < 1e-5
    plain = F.interpolate(torch.from_numpy(x)[None], (16, 12), mode="bilinear")[0].numpy()
    assert np.abs(stretch(x, (16, 12)) - plain).max() < 1e-5
    volume = np.random.default_rng(0).normal(size=(2, *sides, 6)).astype(np.float32)
    plain = F.interpolate(torch.from_numpy(volume)[None], (12, 16, 9), mode="trilinear")[0].numpy()
    assert np.abs(stretch(volume, (12, 16, 9)) - plain).max() < 1e-5


@pytest.mark.parametrize("runtime", list(NEEDED))
def test_int8_goes_in_as_it_is(tmp_path, runtime):
    for package in (*NEEDED[runtime], "nncf"):
        needs(package)
    study, job_id = finished_study.finish(tmp_path / "study", KINDS["grey"]())
    artefact = named(f"{study.root}:{job_id}").artefact
    x = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images = list(x.split(1))
    given = Material(x[:1], lambda count: images, lambda count: [], lambda a, b: a.sum(), stride=2)
    small = ToInt8(runtime=runtime, samples=8).convert(artefact.module, artefact.about, given)
    small.save(study.path("weights", job_id))
    study.write_record(study.record(job_id) | {"files": study.checksums(job_id)})
    export(study, job_id, tmp_path / "bundle")
    said = json.loads((tmp_path / "bundle" / DESCRIPTION).read_bytes())["network"]
    assert (said["runtime"], said["precision"]) == (runtime, "int8")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "bundle/models").iterdir()}
    assert kept == small.graph.parts, "not converted once more"
    files = inputs("grey", tmp_path / "in")
    alone(tmp_path / "bundle", *files, "-o", tmp_path / "alone")
    predict_files(named(f"{study.root}:{job_id}"), files, tmp_path / "study_", Wish(device="cpu"))
    ours, theirs = masks(tmp_path / "alone"), masks(tmp_path / "study_")
    assert all((ours[name] == theirs[name]).mean() > 0.999 for name in theirs)
    card = (tmp_path / "bundle/docs/README.md").read_text()
    assert "8-bit sums depend on the processor" in card


@pytest.mark.slow
def test_in_a_fresh_environment(grey, tmp_path):
    """A real one, with the runtime and Pillow alone."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    use = (grey[1] / "docs" / "README.md").read_text().partition("## Use")[2]
    [install] = [line for line in use.splitlines() if line.startswith("pip install")]
    done = subprocess.run(
        [python, "-m", *install.split()], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    if done.returncode:
        missing(f"no package can be installed here: {done.stderr[-300:]}")
    shutil.copytree(grey[1], tmp_path / "moved")
    given = inputs("grey", tmp_path / "in")
    command = [python, tmp_path / "moved" / "predict.py", *given, "-o", tmp_path / "out"]
    subprocess.run(command, check=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    listed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True)
    assert "torch" not in listed.stdout
    predict_files(named(grey[0]), given, tmp_path / "study", Wish(device="cpu"))
    ours, theirs = masks(tmp_path / "out"), masks(tmp_path / "study")
    assert all((ours[name] != theirs[name]).mean() <= 1e-4 for name in theirs)


# What lies in it.


def test_it_is_a_monai_bundle(grey):
    files = {path.relative_to(grey[1]).as_posix() for path in grey[1].rglob("*") if path.is_file()}
    assert files == {
        *("LICENSE", "predict.py", "configs/inference.json", "configs/metadata.json"),
        *("docs/README.md", "docs/data_license.txt", "models/model.onnx"),
        *("scripts/__init__.py", "scripts/steps.py", "scripts/images.py"),
    }
    said = json.loads((grey[1] / "configs/metadata.json").read_bytes())
    wanted = ("version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task")
    wanted += ("required_packages_version", "description", "authorship", "copyright", "network_data_format")
    assert set(wanted) <= said.keys()
    [image] = said["network_data_format"]["inputs"].values()
    assert image["num_channels"] == 1
    assert image["spatial_shape"] == ["2*n", "2*n"]
    assert said["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "object"}
    assert said["eval_metrics"] == {"mean_dice_validation": 0.5}


def test_the_card_says_what_must_be_said(grey):
    card = (grey[1] / "docs/README.md").read_text()
    for text in (
        "Not a medical device", "Licence of the data: not stated", "Trained on 1 patient",
        "## What it must not be used for", "Of 1 validation case, 0 have a Dice below 0.5", "pip install",
        "Dice [95 % interval]",
    ):  # fmt: skip
        assert text in card, card
    assert "| b " not in card, "cases are not named unless that is asked for"


def test_cases_are_named_where_that_is_asked_for(tmp_path):
    _, bundle = exported(tmp_path, "grey", name_cases=True)
    assert "| b " in (bundle / "docs/README.md").read_text()


def test_the_card_says_that_times_are_of_a_busy_machine(tmp_path):
    needs("openvino")
    study, job_id = finished_study.finish(tmp_path / "study", KINDS["grey"]())
    measured = {
        "graph": "unet-4-8", "side": 16, "shape": [1, 1, 16, 16], "device": "cpu", "threads": 1,
        "machine": {"cpu": "x", "gpu": None}, "latency_ms": [2.0], "macs": 1, "peak_memory_mb": 1.0,
        "busy": True,
    }  # fmt: skip
    (study.root / "profile.json").write_text(json.dumps({"entries": [measured]}))
    export(study, job_id, tmp_path / "bundle", ExportWish(runtime="openvino"))
    costs = (tmp_path / "bundle/docs/README.md").read_text().partition("## What it costs")[2]
    assert "Others used the machine while latencies were measured" in costs


def test_no_path_of_this_machine_and_nothing_pickled(grey, tmp_path):
    for path in grey[1].rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(tmp_path.parent.parent).encode() not in content, path
            assert not content.startswith((b"PK", b"\x80")), path


# ``predict.py`` on files as they come.


def test_bad_files_are_named_and_the_others_predicted(grey, tmp_path):
    given = inputs("grey", tmp_path / "in")
    (tmp_path / "in/empty.png").write_bytes(b"")
    (tmp_path / "in/.hidden").write_bytes(b"")
    colour = inputs("colour", tmp_path / "colour")[2].rename(tmp_path / "colour.png")
    done = alone(grey[1], tmp_path / "in", colour, "-o", tmp_path / "out", code=1)
    assert f"{len(given)} of {len(given) + 2} masks" in done.stdout
    assert "empty.png" in done.stderr
    assert "needs 1 channel" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in given]


def test_other_units_and_two_spacings_are_named_as_by_the_harness(tmp_path):
    _, bundle = exported(tmp_path / "2d", "classes")
    pixels = np.random.default_rng(0).normal(100, 30, (30, 22)).clip(0, 255).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels.astype(np.uint16) * 257).save(tmp_path / "in/deep.png")
    Image.fromarray((pixels / 255).astype(np.float32)).save(tmp_path / "in/scaled.tiff")
    Image.fromarray(pixels).save(tmp_path / "in/usual.png")
    said = alone(bundle, tmp_path / "in", "-o", tmp_path / "alone", code=1).stderr
    assert said.count("the network was made for values around") == 2
    rows = predict_files(of_bundle(bundle), [tmp_path / "in"], tmp_path / "ours", Wish(device="cpu"))
    assert list(masks(tmp_path / "alone")) == list(masks(tmp_path / "ours")) == ["usual.png"], rows
    _, bundle = exported(tmp_path / "3d", "volumes")
    image = nib.Nifti1Image(ball_volume(0, (26, 20, 18))[0] - 50, np.diag([1.0, 1.0, 2.0, 1.0]))
    image.set_sform(image.affine, 1)
    image.set_qform(np.diag([1.0, 1.0, 3.0, 1.0]), 1)
    nib.save(image, tmp_path / "two.nii.gz")
    said = alone(bundle, tmp_path / "two.nii.gz", "-o", tmp_path / "alone", code=1).stderr
    assert "two.nii.gz: contradicts itself: voxels of [1. 1. 2.] by its sform" in said


def test_nothing_is_overwritten(grey, tmp_path):
    given = inputs("grey", tmp_path / "in")
    before = given[0].read_bytes()
    shutil.copy(given[1], tmp_path / "i0.png")
    done = alone(grey[1], given[0], tmp_path / "i0.png", "-o", tmp_path / "out", "--overwrite", code=1)
    assert "is there already" in done.stderr, "two inputs of one name"
    alone(grey[1], given[0], "-o", tmp_path / "out", code=1)
    alone(grey[1], given[0], "-o", tmp_path / "out", "--overwrite")
    alone(grey[1], given[0], "-o", tmp_path / "in", "--overwrite", code=1)
    assert given[0].read_bytes() == before


@pytest.mark.parametrize("runtime", list(NEEDED))
def test_threads_follow_the_affinity(tmp_path, runtime):
    """A pool sized by the machine's cores would crash, or wait for ever, where one core may be used."""
    _, bundle = exported(tmp_path, "grey", runtime)
    assert in_own_process(finished_study.session_on_one_core, bundle) == (1, 1)
    done = alone(bundle, *inputs("grey", tmp_path / "in"), "-o", tmp_path / "out", cores=1)
    assert done.stderr == ""
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_int8_is_refused_where_sums_might_be_cut_off(copy, tmp_path):
    """Windows does not say whether its processor has VNNI; only a user who knows that it has goes on."""
    changed(copy, lambda c: c["network"].update(precision="int8", overflow_fix=False))
    given = [inputs("grey", tmp_path / "in")[0], "-o", tmp_path / "out"]
    said = alone(copy, *given, code=1, first=WINDOWS).stderr
    assert "needs a processor with VNNI" in said
    assert "--trust-processor" in said
    alone(copy, *given, "--trust-processor", first=WINDOWS)
    changed(copy, lambda c: c["network"].update(overflow_fix=True))
    alone(copy, *given, "--overwrite", first=WINDOWS)


# Bundles and files of weights as networks of ``predict``.


def test_a_bundle_and_a_file_of_weights_predict(bench, grey, tmp_path):
    given = inputs("grey", tmp_path / "in")
    root, _, job_id = grey[0].rpartition(":")
    assert bench("predict", grey[0], tmp_path / "in", "-o", tmp_path / "study").code == 0
    assert bench("predict", grey[1], tmp_path / "in", "-o", tmp_path / "bundle").code == 0
    prepared, study = KINDS["grey"](), Study(Path(root))
    artefact = named(grey[0]).artefact
    about = artefact.about
    told = type(artefact)(
        artefact.module,
        type(about)(**(vars(about) | {"data": prepared.facts(), "classes": prepared.dataset.classes})),
    )
    told.save(tmp_path / "own.safetensors")
    assert bench("predict", tmp_path / "own.safetensors", tmp_path / "in", "-o", tmp_path / "own").code == 0
    wanted = masks(tmp_path / "study")
    assert len(wanted) == len(given)
    for name in ("bundle", "own"):
        found = masks(tmp_path / name)
        assert all((found[key] != wanted[key]).mean() <= 1e-4 for key in wanted)
    assert study.record(job_id)["status"] == "done"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format=2), "format"),
        (lambda c: c.update(more=1), "unknown key 'more'"),
        (lambda c: c["network"].update(runtime="../../bin/sh"), "runtime"),
        (lambda c: c["network"]["parts"].update({"../x": c["network"]["parts"]["model.onnx"]}), "../x"),
        (lambda c: c["network"]["parts"]["model.onnx"].update(bytes=10**12), "bytes"),
        (lambda c: c["network"]["parts"]["model.onnx"].update(bytes=7), "not what"),
        (lambda c: c["network"].update(in_channels=2), "channels"),
        (lambda c: c["network"].update(stride=5), "stride"),
        (lambda c: c["preprocessing"].update(size=10**9), "size"),
        (lambda c: c["preprocessing"].update(threshold=0.3), "threshold"),
        (lambda c: c["preprocessing"]["channels"][0].update(std=0), "std"),
    ],
)
def test_a_bundle_that_cannot_be_is_one_line(refused, copy, tmp_path, change, said):
    changed(copy, change)
    inputs("grey", tmp_path / "in")
    assert said in refused("predict", copy, tmp_path / "in", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_network_is_refused(refused, copy, tmp_path):
    path = copy / "models/model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    inputs("grey", tmp_path / "in")
    assert "SHA-256" in refused("predict", copy, tmp_path / "in", "-o", tmp_path / "out")
    path.unlink()
    assert "missing" in refused("predict", copy, tmp_path / "in", "-o", tmp_path / "out")


def test_a_network_that_names_other_files_is_refused(refused, copy, tmp_path):
    """ONNX may keep weights in any file that it names."""
    onnx = needs("onnx")
    from bench.using.bundle import part_of

    model = onnx.load(copy / "models/model.onnx")
    (tmp_path / "secret").write_bytes(bytes(10_000))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret"
    content = model.SerializeToString()
    (copy / "models/model.onnx").write_bytes(content)
    changed(copy, lambda c: c["network"]["parts"].update({"model.onnx": part_of(content).model_dump()}))
    inputs("grey", tmp_path / "in")
    assert "in other files" in refused("predict", copy, tmp_path / "in", "-o", tmp_path / "out")


# Where it is written.


def test_a_class_has_the_colour_that_it_has_everywhere(tmp_path):
    _, bundle = exported(tmp_path, "classes")
    alone(bundle, *inputs("classes", tmp_path / "in"), "-o", tmp_path / "out")
    with Image.open(tmp_path / "out" / "i0.png") as mask:
        assert mask.getpalette("RGB") == [value for colour in PALETTE for value in colour]


def test_other_peoples_files_stay(refused, bench, grey, tmp_path):
    study, _, job_id = grey[0].rpartition(":")
    out = tmp_path / "out"
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    said = refused("export", study, job_id, "-o", out)
    assert "diary.txt" in said
    assert "--overwrite" in said
    assert bench("export", study, job_id, "-o", out, "--overwrite").code == 0
    assert (out / "diary.txt").read_text() == "mine"
    assert "holds a bundle already" in refused("export", study, job_id, "-o", out)
    api.export(api.open_study(study), job_id, out, overwrite=True, runtime="openvino")
    assert sorted(path.name for path in (out / "models").iterdir()) == ["model.bin", "model.xml"]
    assert of_bundle(out).artefact.about.runtime == "openvino"
    study, _, job_id = exported(tmp_path, "volumes")[0].rpartition(":")
    assert bench("export", study, job_id, "-o", out, "--overwrite").code == 0
    assert {path.name for path in (out / "scripts").glob("*s.py")} == {"steps.py", "volumes.py"}


def test_two_exports_do_not_write_to_one_folder(refused, grey, tmp_path):
    study, _, job_id = grey[0].rpartition(":")
    out = tmp_path / "out"
    with alone_in(out, tmp_path / ".out.exporting"):
        assert "is writing to it" in refused("export", study, job_id, "-o", out)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed(bench, grey, tmp_path):
    study, _, job_id = grey[0].rpartition(":")
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / f".out.{HOST}-{ended.pid}" / "models").mkdir(parents=True)
    assert bench("export", study, job_id, "-o", tmp_path / "out").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_leaves_nothing(refused, grey, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.files.atomic.on_disk", full)
    study, _, job_id = grey[0].rpartition(":")
    assert "no space left" in refused("export", study, job_id, "-o", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_lower_precision_of_torch_is_refused(tmp_path):
    study, job_id = finished_study.finish(tmp_path, KINDS["grey"]())
    artefact = named(f"{study.root}:{job_id}").artefact
    about = type(artefact.about)(**(vars(artefact.about) | {"precision": "bf16"}))
    type(artefact)(artefact.module, about).save(study.path("weights", job_id))
    study.write_record(study.record(job_id) | {"files": study.checksums(job_id)})
    with pytest.raises(UserError, match="lower precision"):
        export(study, job_id, tmp_path / "out")


class Moody(torch.nn.Module):
    """Decides by the values of an image what it does with it, which no graph does."""

    def forward(self, x):
        return -x if float(x.abs().mean()) > 3 else x


@pytest.mark.parametrize(
    ("runtime", "said"),
    [("openvino", "on images 10 times as strong"), ("onnxruntime", "can't be made of it")],
)
def test_a_network_that_no_graph_can_be_is_one_line(tmp_path, runtime, said):
    for package in NEEDED[runtime]:
        needs(package)
    network = finished_study.network_of(tmp_path, KINDS["grey"]())
    moody = replace(network, artefact=TorchArtefact(Moody(), network.artefact.about))
    with pytest.raises(UserError, match=said) as error:
        as_graph(moody, runtime)
    assert "\n" not in str(error.value)
