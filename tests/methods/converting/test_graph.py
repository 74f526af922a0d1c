"""Every conversion of every network, in 2-D and 3-D, but of DMFNet in 2-D to ONNX Runtime."""

import copy
import json

import pytest
import torch
from converted import CELLS, KINDS, converted, network, samples

import architectures
from methods.converting import open_graph

TAKES_LONG = ("onnxruntime", "dmfnet", 2)
"""Its trace takes a quarter of a minute; its layers are traced in 3-D, and 2-D in the U-Nets."""
EVERY = [(*kind, *cell) for kind in KINDS for cell in CELLS if (kind[0], *cell) != TAKES_LONG]


@pytest.mark.parametrize(("runtime", "precision", "name", "dims"), EVERY)
def test_a_graph_predicts_as_the_network_does_on_other_batches_and_sides(runtime, precision, name, dims):
    graph = converted(runtime, precision, name, dims)
    assert (graph.runtime, graph.precision) == (runtime, precision)
    module = copy.deepcopy(network(name, dims)).eval()
    session = open_graph(graph, threads=1)
    stride = architectures.stride(name)
    other = (3 * stride, *[2 * stride] * (dims - 1)) if stride > 2 else (12, *[8] * (dims - 1))
    for count, sides in ((1, ()), (2, other)):
        x, _ = samples(name, dims, count, seed=7, sides=sides)
        with torch.inference_mode():
            expected = module(x)
        found = session.predict(x)
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        if precision == "fp32":
            assert (found - expected).abs().max() <= 1e-4
        changed = ((found > 0) != (expected > 0)).float().mean()
        assert changed <= (0 if precision == "fp32" else 0.1) + 2 / found.numel()


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_facts_are_json_and_say_what_was_measured(runtime, precision):
    facts = converted(runtime, precision, "unet-2-4", 2).facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["spatial_dims"], facts["in_channels"], facts["stride"]) == (2, 1, 2)
    assert facts["compared_images"] == 3
    assert runtime in facts["versions"]
    assert facts["floating_point"] == "f32"
    assert facts["instruction_set"]
    if precision == "fp32":
        assert 0 <= facts["largest_difference"] <= 1e-4
        assert facts["int8_operations"] == 0
    else:
        assert facts["int8_convolutions"] >= 0.5
        assert 0 < facts["int8_operations"] < 1
        assert facts["calibration_images"] == 3
        assert facts["doubts"] == []


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_differences_are_those_of_the_images_given(runtime, precision):
    graph = converted(runtime, precision, "unet-2-4", 2)
    module = copy.deepcopy(network("unet-2-4", 2)).eval()
    x = torch.cat([samples("unet-2-4", 2, count, seed=count)[0] for count in (1, 2)])
    with torch.inference_mode():
        expected = module(x)
    found = open_graph(graph).predict(x)
    assert graph.facts["changed_pixels"] == pytest.approx(
        float(((found > 0) != (expected > 0)).float().mean())
    )
    assert graph.facts["largest_difference"] == pytest.approx(
        float((found - expected).abs().max()), abs=1e-5
    )


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_memory_layout_does_not_matter(runtime, precision):
    session = open_graph(converted(runtime, precision, "unet-2-4", 2))
    x = samples("unet-2-4", 2, 4, seed=8)[0].expand(4, 1, 16, 16)
    turned = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert torch.equal(session.predict(turned), session.predict(x))
    assert torch.equal(session.predict(x.to(memory_format=torch.channels_last)), session.predict(x))


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_a_prediction_stays_when_the_next_is_made(runtime, precision):
    session = open_graph(converted(runtime, precision, "unet-2-4", 2))
    one, other = (samples("unet-2-4", 2, 1, seed=seed)[0] for seed in (1, 2))
    kept = session.predict(one)
    before = kept.clone()
    session.predict(other)
    assert torch.equal(kept, before)


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_other_images_are_refused_as_the_network_refuses_them(runtime, precision):
    session = open_graph(converted(runtime, precision, "unet-2-4", 2))
    with pytest.raises(ValueError, match=r"multiple of 2, not \(16, 15\)"):
        session.predict(torch.zeros(1, 1, 16, 15))
    for wrong in (torch.zeros(1, 2, 16, 16), torch.zeros(1, 16, 16), torch.zeros(1, 1, 16, 16).double()):
        with pytest.raises(ValueError, match=r"float32 \(N, 1, 2 sides\), not"):
            session.predict(wrong)
