"""An artefact's file says all that is needed to use it; what it can't be is refused in a line."""

import json
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import architectures
from bench.training.artefacts import open_artefact
from methods import About, Graph, GraphArtefact, TorchArtefact
from methods.artefact import KEY, read_about

ABOUT = About("unet-2-4", 2, 1, 1, 16, classes=("organ",), data={"mean": [0.5], "std": [2.0]})


@pytest.fixture
def kept(tmp_path):
    torch.manual_seed(0)
    artefact = TorchArtefact(architectures.build("unet-2-4"), ABOUT)
    artefact.save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors", artefact


def header(path, **changes):
    """Rewrite what the file says of itself."""
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    said = json.loads(path.read_bytes()[8 : 8 + size])
    content = json.loads(said["__metadata__"][KEY]) | changes
    tensors = {name: value for name, value in TorchArtefact.load(
        lambda: architectures.build("unet-2-4"), path).module.state_dict().items()}  # fmt: skip
    save_file(tensors, path, {KEY: json.dumps(content)})


def test_the_file_alone_is_enough(kept, tmp_path):
    path, artefact = kept
    again = open_artefact(path)
    assert again.about == ABOUT == read_about(path)
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(again.predict(x), artefact.predict(x))
    torch.save(x, tmp_path / "x.pt")
    code = (
        "import torch; from pathlib import Path; from bench.training.artefacts import open_artefact; "
        "torch.save(open_artefact(Path('a.safetensors')).predict(torch.load('x.pt')), 'y.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    again = torch.load(tmp_path / "y.pt")
    assert torch.allclose(again, artefact.predict(x), atol=1e-6), "in another process"


def test_the_same_network_gives_the_same_bytes(kept, tmp_path):
    path, artefact = kept
    artefact.save(tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_files_of_before_are_opened_by_what_their_job_says(tmp_path):
    module = architectures.build("unet-2-4")
    TorchArtefact(module).save(tmp_path / "old.safetensors")
    assert read_about(tmp_path / "old.safetensors") is None
    with pytest.raises(ValueError, match="does not say which network it holds"):
        open_artefact(tmp_path / "old.safetensors")
    x = torch.randn(1, 1, 16, 16)
    again = open_artefact(tmp_path / "old.safetensors", About("unet-2-4"))
    assert torch.equal(again.predict(x), TorchArtefact(module).predict(x))


def test_bf16_is_kept_as_such(tmp_path):
    torch.manual_seed(0)
    about = replace(ABOUT, architecture="unet-16-32")
    plain = TorchArtefact(architectures.build("unet-16-32"), about)
    plain.save(tmp_path / "fp32.safetensors")
    again = open_artefact(tmp_path / "fp32.safetensors")
    half = TorchArtefact(again.module, replace(about, precision="bf16"))
    half.save(tmp_path / "bf16.safetensors")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("bf16", "fp32")]
    assert 0.45 < sizes[0] / sizes[1] < 0.55
    x = torch.randn(1, 1, 16, 16)
    logits = half.predict(x)
    assert logits.dtype == torch.float32
    assert torch.equal(open_artefact(tmp_path / "bf16.safetensors").predict(x), logits)
    gap = (logits - plain.predict(x)).abs().max().item()
    assert 0 < gap < 0.1


class Plus:
    def __init__(self, graph, threads):
        self.add, self.threads = int.from_bytes(graph.parts["number"]), threads

    def predict(self, x):
        return x + self.add

    def set_threads(self, threads):
        self.threads = threads


def test_a_graph_lies_in_its_file_as_bytes(tmp_path):
    parts = {"number": bytes([7]), "empty": b"", "more": bytes(range(256))}
    graph = Graph("plus", "exact", parts, {"a": 1})
    made = GraphArtefact(replace(ABOUT, step="plus"), graph, Plus)
    made.set_threads(3)
    x = torch.zeros(1, 1, 2, 2)
    assert torch.equal(made.predict(x), x + 7)
    assert made._session.threads == 3
    made.set_threads(1)
    assert made._session.threads == 1
    path = tmp_path / "g.safetensors"
    made.save(path)
    about = read_about(path)
    assert (about.runtime, about.precision, about.facts) == ("plus", "exact", {"a": 1})
    again = GraphArtefact.load(path, about, Plus)
    assert again._graph.parts == graph.parts
    assert torch.equal(again.predict(x), x + 7)
    with pytest.raises(ValueError, match="made by the step 'plus', which is not here; name its --plugin"):
        open_artefact(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "made by another version: its format is 2, this one reads 1"),
        ({"unheard_of": 1}, "not an artefact of this version"),
        ({"architecture": "magic"}, "unknown architecture 'magic'"),
        ({"architecture": 3}, "names must be text"),
        ({"spatial_dims": 7}, "spatial_dims must be 2 or 3"),
        ({"in_channels": "1"}, "sizes must be whole numbers"),
        ({"patch": 5}, "not an artefact of this version"),
        ({"data": []}, "must hold keys and values"),
        ({"precision": "int8"}, "int8"),
        ({"architecture": "unet-4-8"}, "not a safetensors file with the network's weights"),
    ],
)
def test_what_it_says_wrongly_is_one_line(kept, changes, message):
    path, _ = kept
    header(path, **changes)
    with pytest.raises(ValueError) as error:
        open_artefact(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cut_file_is_one_line(kept):
    path, _ = kept
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a safetensors file"):
        open_artefact(path)
    with pytest.raises(ValueError, match="not a safetensors file"):
        open_artefact(Path("nowhere"))
