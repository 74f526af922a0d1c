"""Finished networks in other runtimes and at lower precision: no training, a graph as bytes comes out.

``openvino.convert``, ``onnxruntime.convert`` and ``int8.convert`` make a ``Graph`` of a torch network and
images; ``open_graph`` makes a session of it that predicts.
"""

from methods.converting.graph import Graph, Session
from methods.converting.sessions import open_graph

__all__ = ["Graph", "Session", "open_graph"]
