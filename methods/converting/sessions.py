"""Opening graphs, whatever they run in."""

from __future__ import annotations

from collections.abc import Callable

from methods.converting import onnxruntime, openvino, processor
from methods.converting.graph import Graph, Session
from methods.converting.libraries import load, versions

_SESSIONS: dict[str, Callable[[Graph, int], Session]] = {
    openvino.RUNTIME: openvino.OpenVinoSession,
    onnxruntime.RUNTIME: onnxruntime.OnnxSession,
}


def open_graph(graph: Graph, threads: int = 1) -> Session:
    """Get a graph ready to predict on this processor.

    Raises:
        ValueError: an unknown or missing runtime, a graph that it can't read, an INT8 graph whose sums this
            processor would cut off.
    """
    if graph.runtime not in _SESSIONS:
        raise ValueError(f"unknown runtime {graph.runtime!r}; known: {', '.join(_SESSIONS)}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if graph.precision == "int8" and not graph.facts.get("overflow_fix") and processor.saturates():
        raise ValueError(
            f"this INT8 network was made for processors with {graph.facts.get('instruction_set')}; on this "
            f"one, with {processor.instruction_set()}, its sums would be cut off: make it again here"
        )
    load(graph.runtime)
    try:
        return _SESSIONS[graph.runtime](graph, threads)
    except Exception as error:  # each runtime has errors of its own
        made = graph.facts.get("versions", {}).get(graph.runtime, "an unknown version")
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{graph.runtime} {versions(graph.runtime)[graph.runtime]} can't open this network, which was "
            f"made with {made} ({reason})"
        ) from None
