"""Opening graphs: threads, and what can't be opened."""

import dataclasses

import pytest
import torch
from converted import KINDS, NEEDED, converted, samples

from methods.converting import Graph, open_graph


@pytest.mark.parametrize(("runtime", "precision"), KINDS)
def test_threads_are_the_sessions_own(runtime, precision):
    session = open_graph(converted(runtime, precision, "unet-2-4", 2), threads=1)
    before, x = torch.get_num_threads(), samples("unet-2-4", 2, 2)[0]
    one = session.predict(x)
    assert session.threads == 1
    session.set_threads(2)
    assert session.threads == 2
    assert torch.get_num_threads() == before
    assert torch.allclose(session.predict(x), one, atol=1e-4)


def test_threads_of_onnx_runtime_stop_when_a_run_does():
    """Left to spin, they take the cores of whatever is timed next."""
    session = open_graph(converted("onnxruntime", "fp32", "unet-2-4", 2), threads=2)
    options = session._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("runtime", NEEDED)
def test_a_graph_of_another_version_is_one_line_with_both(runtime):
    graph = converted(runtime, "fp32", "unet-2-4", 2)
    broken = dataclasses.replace(
        graph,
        parts={name: b"not a graph" for name in graph.parts},
        facts={**graph.facts, "versions": {runtime: "1.2.3"}},
    )
    with pytest.raises(ValueError, match=rf"{runtime} \d.*can't open .*made with 1\.2\.3") as refused:
        open_graph(broken)
    assert "\n" not in str(refused.value)


def test_unknown_runtimes_and_no_threads_are_refused():
    with pytest.raises(ValueError, match="unknown runtime 'tensorrt'; known: openvino, onnxruntime"):
        open_graph(Graph("tensorrt", "fp32", {}))
    with pytest.raises(ValueError, match="at least 1, not 0"):
        open_graph(Graph("openvino", "fp32", {}), threads=0)
