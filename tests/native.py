"""Which tests load other runtimes (OpenVINO, ONNX Runtime, NNCF): a process of their own runs them.

A fault in native code ends that process alone, and whatever else runs has not loaded what they load.
"""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
NATIVE = (
    *("methods/converting", "methods/reshaping", "methods/test_steps.py", "methods/test_killed.py"),
    *("bench/using/test_export.py", "bench/using/test_refit.py"),
)
