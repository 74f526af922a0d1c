"""Files that register methods, networks and datasets: known to every process, in their jobs' ids alone."""

import importlib.metadata
import json
import subprocess
import sys

import pandas as pd
import pytest
import short_jobs
from samples import blank_job

import architectures
import methods
from bench import plugins
from bench.scoring.profiling import graph_of
from bench.study.store import Study

METHOD = """
from dataclasses import dataclass
from typing import ClassVar
from methods import Distillation, register

@register
@dataclass(frozen=True)
class Mse(Distillation):
    name: ClassVar[str] = "mse"
    label: ClassVar[str] = "my MSE"
    weight: float = 0.1

    def targets(self, teacher, labels):
        return {"logits": teacher.logits.float()}

    def loss(self, student, targets, labels):
        return {"mse": self.weight * (student.logits.float() - targets["logits"]).pow(2).flatten(1).mean(1)}
"""
NETWORK = """
from torch import nn
import architectures

@architectures.register("tiny", stride=2)
class Tiny(nn.Module):
    def __init__(self, spatial_dims, in_channels, out_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, out_channels, 1)
        )

    @staticmethod
    def supports(spatial_dims, sides):
        return "made for slices" if spatial_dims == 3 else ""

    def forward(self, x):
        return self.layers(x)
"""
COARSE = """
import numpy as np
import torch
from dataclasses import replace
from methods import Convert, Graph

class Coarse:
    def __init__(self, at):
        self.at = at

    def predict(self, x):
        return torch.from_numpy(np.round(x.numpy()[:, :1] - self.at))

    def set_threads(self, threads):
        pass

@register
@dataclass(frozen=True)
class Threshold(Convert):
    name: ClassVar[str] = "coarse"

    def convert(self, module, about, material):
        mean = np.float32(np.concatenate([image.numpy().ravel() for image in material.images(99)]).mean())
        return self.keep(replace(about, parameters=None), Graph("numpy", "rounded", {"at": mean.tobytes()}))

    @classmethod
    def open(cls, graph, threads):
        return Coarse(np.frombuffer(graph.parts["at"], np.float32)[0])
"""
"""An artefact that is no torch network."""
DATASET = """
from dataclasses import replace
import numpy as np
from bench.data import datasets
from bench.data.dataset import Dataset

@datasets.register("my-scans", image_size=16, built_in=True)
def read(root, cache):
    rng, names = np.random.default_rng(0), tuple("abcdef")
    masks = [(rng.random(SHAPE) > 0.5).astype(np.uint8) for _ in names]
    images = [(mask + rng.random((1, *SHAPE))).astype(np.float32) for mask in masks]
    found = Dataset("my-scans", names, names, images, masks, ("organ",), "abc", **MORE)
    return change(found, masks[1], images[1])
"""
SLICES = "SHAPE, MORE = (16, 16), {}\n"
VOLUMES = "SHAPE, MORE = (8, 8, 8), {'spacing': ((1, 1, 2),) * 6, 'modalities': ('MRI',)}\n"
MATRIX = {"teacher": "unet-4-8", "students": ["unet-2"], "methods": ["baseline", "pm-kd"], "image_size": 16,
          "updates": 80, "workers": 2}  # fmt: skip


pytestmark = pytest.mark.usefixtures("nothing_registered")


@pytest.fixture
def write(tmp_path):
    def call(name, text):
        (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text))
        return tmp_path / name

    return call


def ids(out):
    return {line.split("  ")[1]: line.split()[0] for line in out.splitlines() if "  to do" in line}


def test_only_the_jobs_that_use_it_have_it_in_their_id(bench, write, tmp_path):
    write("mine.py", METHOD)
    write("net.py", NETWORK)
    plain = ids(bench("--matrix", write("m.yaml", MATRIX), "--results", tmp_path / "s", "--dry-run").out)
    more = MATRIX | {"students": ["unet-2", "tiny"], "methods": ["baseline", "pm-kd", "mse"]}
    more |= {"plugins": ["mine.py", "net.py"]}
    arguments = ("--matrix", write("more.yaml", more), "--results", tmp_path / "s", "--dry-run")
    found = ids(bench(*arguments).out)
    assert len(found) == 7 and plain.items() <= found.items(), "what is built in keeps its ids"
    write("net.py", NETWORK + "\n# another content\n")
    plugins.LOADED.clear()
    architectures.FAMILIES[:] = [f for f in architectures.FAMILIES if "tiny" not in f.NAMES]
    del methods.METHODS["mse"]
    changed = ids(bench(*arguments).out)
    assert {label for label in found if changed[label] != found[label]} == {
        label for label in found if label.startswith("tiny")
    }


@pytest.mark.slow
def test_from_the_matrix_to_the_page_in_processes_that_never_saw_it(
    write, tmp_path, bench, refused, no_figures
):
    """The plug-ins lie outside the repository; the command is given from another folder.

    This process has not seen them either, until the end.
    """
    write("mine.py", METHOD + COARSE)
    write("net.py", NETWORK)
    matrix = write(
        "m.yaml", MATRIX | {"students": ["tiny"], "methods": ["baseline", "mse", "at-kd", "mse > coarse"]}
    )

    def call(*arguments):
        words = [sys.executable, short_jobs.__file__, *map(str, arguments)]
        done = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    named = ("--plugin", "mine.py", "--plugin", "net.py")
    call("--matrix", matrix, "--results", "s", *named)
    study = Study(tmp_path / "s")
    frame = pd.read_csv(tmp_path / "s" / "summary.csv").set_index("method")
    assert frame.loc["mse", "status"] == "done"
    assert frame.loc["at-kd", "status"] == "skipped"
    assert "tiny has no forward_intermediates, which at-kd reads" in frame.loc["at-kd", "reason"]
    assert "mse" in (tmp_path / "s" / "tables" / "matrix.md").read_text()
    assert study.record(frame.loc["mse", "id"])["shown"]["method"] == "my MSE"
    assert frame.loc["coarse", "status"] == "done"
    assert frame.loc["coarse", "recipe"] == "mse > coarse"
    assert frame.loc["coarse", "source"] == frame.loc["mse", "id"]
    said = ["runtime", "artefact_precision"]
    assert list(frame.loc["coarse", said]) == ["numpy", "rounded"]
    assert pd.isna(frame.loc["coarse", "parameters"])
    assert frame.loc["coarse", "latency_cpu_ms_p50"] > 0
    assert 0 <= frame.loc["coarse", "dice"] <= 1
    kept = study.plugins()
    assert sorted(kept.values()) == ["mine.py and net.py", "net.py"]
    assert str(tmp_path) not in (study.root / "plugins.json").read_text()
    assert not list(study.root.rglob("*.py")), "no code lies in a study"
    assert bench("report", study.root).code == 0
    assert "coarse" in (study.root / "tables" / "compression.csv").read_text()
    job = frame.loc["mse", "id"]
    study.path("records", job).unlink()
    assert "needs mine.py and net.py" in refused("job", study.root, job)
    call("job", "s", job, *named)
    (tmp_path / "mine.py").write_text((METHOD + COARSE).replace("0.1", "0.2"))
    study.path("records", job).unlink()
    others = ("--plugin", tmp_path / "mine.py", "--plugin", tmp_path / "net.py")
    assert "needs mine.py and net.py" in refused("job", study.root, job, *others)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "registers nothing"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def (", "SyntaxError"),
        (
            METHOD.replace('"mse"', '"pm-kd"', 1),
            "the method 'pm-kd' is there already, in methods.training.pm_kd",
        ),
        (METHOD.replace('"mse"', '"a b"', 1), "`name` must be a word"),
        (
            NETWORK.replace('"tiny"', '"unet-2"'),
            "the network 'unet-2' is there already, in architectures.unet",
        ),
        (NETWORK.replace('"tiny"', '"dmfnet"') + METHOD, "the network 'dmfnet' is there already"),
        (METHOD + NETWORK.replace('"tiny"', '"dmfnet"'), "the network 'dmfnet' is there already"),
    ],
)
def test_what_fails_is_one_line_and_leaves_nothing_behind(refused, write, text, message):
    before = (list(methods.METHODS), architectures.names())
    line = refused("check-plugin", write("mine.py", text))
    assert message in line
    assert "mine.py" in line
    assert (list(methods.METHODS), architectures.names()) == before


def test_a_missing_file_is_named(refused, tmp_path):
    line = refused("--matrix", "quick", "--plugin", tmp_path / "gone.py", "--dry-run")
    assert "gone.py: can't be read (No such file or directory)" in line


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (METHOD, "method 'mse'"),
        (NETWORK, "network 'tiny'"),
        (SLICES + DATASET, "dataset 'my-scans'"),
    ],
)
def test_two_files_that_want_one_name_are_both_named(refused, write, text, what):
    first, second = write("a.py", text), write("b.py", text + "\nx = 1\n")
    line = refused("list", "--plugin", first, "--plugin", second)
    assert f"the {what} is there already, in {first}; {second} needs another name" in line


def test_what_an_edited_network_costs_is_measured_anew(write):
    job = blank_job(architecture="tiny")
    assert graph_of(blank_job(architecture="unet-2")) == "unet-2"
    graphs = []
    for text in (NETWORK, NETWORK.replace("nn.ReLU()", "nn.ELU()")):
        plugins.LOADED.clear()
        architectures.FAMILIES[:] = [f for f in architectures.FAMILIES if "tiny" not in f.NAMES]
        own = plugins.load_file(write("net.py", text))
        graphs.append(graph_of(job))
        assert graphs[-1] == f"tiny {own.hash[:8]}"
    assert graphs[0] != graphs[1]


def test_the_same_content_counts_once(bench, write):
    out = bench("list", "--plugin", write("a.py", METHOD), "--plugin", write("b.py", METHOD)).out
    assert out.count("method mse") == 2, "as a method, and as what the plug-in brings"


FAULTS = [
    (".flatten(1).mean(1)", ".mean()", "term mse has shape (); must be one value a sample, (N,)"),
    ("@dataclass(frozen=True)", "", "must be decorated with @dataclass(frozen=True)"),
    (".pow(2)", "", "term mse is negative"),
    ("teacher.logits.float()", "teacher.logits.half()", "target logits is torch.float16; must be float32"),
    ("weight: float = 0.1", "weight: float", "can't be made without parameters"),
    (
        'targets["logits"]).pow',
        'targets["logits"].mean()).pow',
        "changes with the other samples",
    ),
    ("student.logits.float()", "student.logits.detach()", "term mse gives the student no gradient"),
]


@pytest.mark.parametrize(("old", "new", "message"), FAULTS)
def test_check_plugin_says_in_words_what_is_wrong(bench, write, old, new, message):
    result = bench("check-plugin", write("mine.py", METHOD.replace(old, new)))
    assert result.code == 1
    assert message in result.out


def test_check_plugin_finds_good_ones_well(bench, write):
    result = bench("check-plugin", write("mine.py", METHOD + NETWORK))
    assert result.out.splitlines() == ["architecture tiny: well", "method mse: well"]
    assert result.code == 0


def test_check_plugin_of_networks(bench, write):
    bad = NETWORK.replace("return self.layers(x)", "return self.layers(x).sigmoid()")
    result = bench("check-plugin", write("net.py", bad))
    assert result.code == 1
    assert "an activation inside the network" in result.out


class Point:
    """An installed package's entry point."""

    def __init__(self, name, value, package="some-package"):
        self.name, self.value, self.module = name, value, value
        self.dist = type("Dist", (), {"name": package})


def test_entry_points(bench, write, tmp_path, monkeypatch):
    write("lightseg_good.py", METHOD)
    write("lightseg_bad.py", "import nowhere_at_all")
    write("lightseg_exits.py", "raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    names = ("good", "good", "bad", "exits")
    points = [Point(name, f"lightseg_{name}") for name in names]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert importlib.metadata.entry_points(group=plugins.GROUP) is not None
    result = bench("list")
    assert result.code == 0
    assert "plug-in good of some-package: method mse" in result.out
    assert "plug-in lightseg_bad: left out, for it fails (ModuleNotFoundError" in result.out
    assert "plug-in lightseg_exits: left out" in result.out


NO_DATASETS = [
    (VOLUMES, "replace(d, spacing=())", "has 6 cases and the spacing of 0"),
    (VOLUMES, "replace(d, spacing=((1, 1),) * 6)", "case 'a': its spacing is (1.0, 1.0); must be 3"),
    (VOLUMES, "replace(d, modalities=())", "modalities is (); volumes need one"),
    (SLICES, "replace(d, patients=(1, 2, 3, 4, 5, 6))", "case 'a': its patient can't be 1: it is no text"),
    (SLICES, "replace(d, patients=tuple('abc'))", "has 6 cases and 3 patients; must be as many"),
    (SLICES, "replace(d, cases=tuple('abcdea'))", "a case can't be named 'a': another one is"),
    (SLICES, "replace(d, images=[x[0] for x in d.images])", "case 'a': its image is 16x16, its mask 16x16"),
    (SLICES, "d.images.__setitem__(1, np.ones((3, 16, 16))) or d", "case 'b': its image is 3x16x16;"),
    (SLICES, "d.images[1].__setitem__((0, 1, 1), np.nan) or d", "case 'b': its image holds NaN"),
    (SLICES, "d.masks.__setitem__(1, m[:9]) or d", "case 'b': its mask is 9x16, its image 16x16"),
    (SLICES, "d.masks.__setitem__(1, m / 1) or d", "case 'b': its mask is of float64; must be of whole"),
    (SLICES, "d.masks.__setitem__(1, m * 255) or d", "case 'b': its mask holds 255; must be 0"),
    (SLICES, "replace(d, name='yours')", "calls itself 'yours'; must be 'my-scans', as it is registered"),
    (SLICES, "None", "its function gives NoneType; must give a Dataset"),
]


@pytest.mark.parametrize("shape", [SLICES, VOLUMES])
def test_a_dataset_of_ones_own(bench, write, tmp_path, shape):
    plugin = write("d.py", shape + DATASET + "change = lambda d, m, i: d")
    assert bench("check-plugin", plugin).out == "dataset my-scans: well\n"
    matrix = write("m.yaml", MATRIX | {"dataset": "my-scans"})
    out = bench("--matrix", matrix, "--plugin", plugin, "--results", tmp_path / "s", "--dry-run")
    assert out.code == 0, out.err
    assert "to do" in out.out


@pytest.mark.parametrize(("shape", "change", "message"), NO_DATASETS)
def test_a_dataset_that_is_none_is_refused_by_name_and_case(bench, write, shape, change, message):
    result = bench("check-plugin", write("d.py", shape + DATASET + f"change = lambda d, m, i: {change}"))
    assert result.code == 1
    assert f"dataset my-scans: {message}" in result.out


def test_a_study_asks_the_same_of_a_dataset(refused, bench, write, tmp_path):
    text = SLICES + DATASET + "change = lambda d, m, i: d.masks.__setitem__(1, m * 2) or d"
    plugin = write("d.py", text.replace(", built_in=True", ""))
    assert "cases are checked whenever they are read" in bench("check-plugin", plugin).out
    matrix = write("m.yaml", MATRIX | {"dataset": "my-scans"})
    line = refused("--matrix", matrix, "--plugin", plugin, "--data", tmp_path, "--results", tmp_path / "s")
    assert line.startswith("error: dataset my-scans: case 'b': its mask holds 2;")


def test_clusters_are_told_of_it(write, tmp_path):
    from samples import blank_job

    from bench.planning.options import Options
    from bench.running.executors.commands import job_command, profile_command

    first, second = write("mine.py", METHOD), write("net.py", NETWORK)
    command = job_command(Study(tmp_path), blank_job(), Options(plugin=(first, second)))
    assert command[-4:] == ["--plugin", str(first), "--plugin", str(second)]
    plugins.load([first])
    assert profile_command(Study(tmp_path))[-2:] == ["--plugin", str(first)]
