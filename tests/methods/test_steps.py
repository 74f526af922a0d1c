"""Every step that changes a network, on every architecture: what it says, and back from its file."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from commands import missing

import architectures
import methods
from bench.training.artefacts import fresh_network, open_artefact
from bench.training.conformance import faults_of_method
from bench.training.conformance_of_changes import NETWORK, SIDE, network_of_noise, noise_material
from methods import About, TorchArtefact

CHANGES = [*methods.names("reshape"), *methods.names("convert")]
SPECS = {"torch": ["torch", "torch[precision=bf16]"], "int8": ["int8", "int8[runtime=onnxruntime]"]}
STEPS = [spec for name in CHANGES for spec in SPECS.get(name, [name])]
FIRST = NETWORK
SIDES = {FIRST: {2: SIDE, 3: SIDE}, "dmfnet": {2: 64, 3: 32}}
SAID = {
    "torch": ("torch", "fp32"),
    "torch[precision=bf16]": ("torch", "bf16"),
    "openvino": ("openvino", "fp32"),
    "onnxruntime": ("onnxruntime", "fp32"),
    "int8": ("openvino", "int8"),
    "int8[runtime=onnxruntime]": ("onnxruntime", "int8"),
}
OPEN = """
import sys, torch
from pathlib import Path
from bench.training.artefacts import open_artefact
torch.manual_seed(1)
for path in map(Path, sys.argv[1:]):
    x = torch.load(path.with_suffix(".x"))
    torch.save(open_artefact(path).predict(x), path.with_suffix(".y"))
"""


def taken(spec, architecture, dims):
    """An artefact of the step, of a network with random weights; and that network."""
    step = methods.build(spec)
    if lacks := step.missing():
        missing(lacks)
    side = SIDES[architecture][dims]
    about = About(architecture, dims, 1, 1, side, classes=("organ",), parameters=1)
    module, material = network_of_noise(about), noise_material(about, side)
    if step.kind == "convert":
        return step.convert(module, about, material), module
    network, shape = step.reshape(module, material)
    return TorchArtefact(network, replace(about, shape=shape)), module


@pytest.mark.parametrize("name", CHANGES)
def test_it_does_what_check_plugin_asks_of_others(name):
    if lacks := methods.build(name).missing():
        missing(lacks)
    assert faults_of_method(name) == []


@pytest.mark.parametrize("architecture", SIDES)
def test_a_fresh_process_predicts_the_same(architecture, tmp_path):
    """One process for all steps, in 2-D and 3-D: it has nothing but the files.

    Graphs of other runtimes are the same bytes whatever network they were, so one network's are enough;
    those of all networks are opened in ``converting/test_graph.py``.
    """
    steps = [spec for spec in STEPS if architecture == FIRST or SAID.get(spec, ("torch",))[0] == "torch"]
    expected = {}
    for dims, side in SIDES[architecture].items():
        for number, spec in enumerate(steps):
            made, module = taken(spec, architecture, dims)
            path = tmp_path / f"{dims}{number}.safetensors"
            made.save(path)
            x = torch.randn(1, 1, *[side] * dims, generator=torch.Generator().manual_seed(7))
            torch.save(x, path.with_suffix(".x"))
            expected[path] = spec, made.predict(x), TorchArtefact(module).predict(x)
            about = open_artefact(path).about
            assert about == made.about
            if spec in SAID:
                assert (about.runtime, about.precision) == SAID[spec]
    subprocess.run([sys.executable, "-c", OPEN, *map(str, expected)], check=True)
    for path, (spec, logits, plain) in expected.items():
        again = torch.load(path.with_suffix(".y"))
        assert torch.allclose(again, logits, atol=1e-5), (spec, path.name)
        if SAID.get(spec, ("", ""))[1] == "fp32":
            assert torch.allclose(again, plain, atol=1e-4), (spec, path.name)


@pytest.mark.parametrize("name", methods.names("reshape"))
def test_a_reshaped_network_can_teach_and_be_rebuilt(name):
    made, module = taken(name, FIRST, 2)
    assert made.module is not None
    rebuilt = fresh_network(made.about)
    assert {k: v.shape for k, v in rebuilt.state_dict().items()} == {
        k: v.shape for k, v in made.module.state_dict().items()
    }
    assert hasattr(made.module, "forward_intermediates")
    assert architectures.stride(made.about.architecture) == 2
    assert type(module) is type(made.module)
