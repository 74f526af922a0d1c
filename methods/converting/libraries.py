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
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"the package {name.partition('.')[0]} is missing ({reason}); "
            f"pip install -c constraints.txt -e '.[{EXTRAS[name]}]'"
        ) from None


def lacking(*names: str) -> str:
    """Which of the packages is not installed, and what would bring it; empty where all are."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            return f"the package {name} is missing; pip install -c constraints.txt -e '.[{EXTRAS[name]}]'"
    return ""


def versions(*names: str) -> dict[str, str]:
    """The installed versions of packages."""
    return {name: metadata.version(name) for name in names}
