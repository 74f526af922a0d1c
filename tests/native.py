"""Which tests load other runtimes (OpenVINO, ONNX Runtime, NNCF) into the process that runs them."""

from pathlib import Path

TESTS = Path(__file__).resolve().parent
NATIVE = ("methods/converting", "methods/reshaping", "methods/test_steps.py", "methods/test_killed.py")
