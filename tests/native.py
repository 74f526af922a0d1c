"""Tests that load other runtimes (OpenVINO, ONNX Runtime, NNCF), in a process beside that of all others.

A fault in native code ends that process alone, and while it runs the others have a core of their own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
NATIVE = (
    *("methods/converting", "methods/reshaping", "methods/test_steps.py", "methods/test_killed.py"),
    *("bench/using/test_export.py", "bench/using/test_refit.py"),
)


class Beside:
    """A pytest of its own for these tests."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        self._process = subprocess.Popen(
            [*command, *(TESTS / where for where in NATIVE)], cwd=TESTS.parent,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def ended(self) -> tuple[int, str]:
        """Its exit code and what it has printed, once it has ended."""
        said, _ = self._process.communicate()
        return self._process.returncode, said

    def stop(self) -> None:
        """End it where it still runs, as when the others are interrupted."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()
