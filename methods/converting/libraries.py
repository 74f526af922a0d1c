"""The runtimes' libraries, imported where they are used and with their usage reporting off.

openvino and nncf report each conversion to an analytics service through ``openvino_telemetry``, onnxruntime
each process and session through native code, unless they are told not to before they are imported. In a
hospital nothing may be sent, so this file switches all of it off as soon as it is imported itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib import metadata
from typing import Any

from methods.extras import how_to_get

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["NNCF_CI"] = "1"
# Both openvino and nncf do without the package where it can't be imported.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

EXTRAS = {
    "openvino": "openvino",
    "nncf": "openvino",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxruntime.quantization": "onnx",
    "onnxscript": "onnx",
}
"""The optional extra that brings each library."""


def load(name: str) -> Any:
    """Import one of ``EXTRAS``.

    Raises:
        ValueError: it is not installed, or does not fit what is.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(how_to_get(name.partition(".")[0], EXTRAS[name], str(error))) from None


def lacking(*names: str) -> str:
    """Which of the packages is not installed, and what would bring it; empty where all are."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            return how_to_get(name, EXTRAS[name])
    return ""


def versions(*names: str) -> dict[str, str]:
    """The installed versions of packages."""
    return {name: metadata.version(name) for name in names}
