"""Tests that load other runtimes have a process of their own (``native.py``).

Where all tests are asked for this test runs them; where their files or folders are named they run as any
others.
"""

import subprocess
import sys

import pytest
from native import NATIVE, TESTS


@pytest.mark.slow
def test_they_pass():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        [*command, *(TESTS / where for where in NATIVE)],
        cwd=TESTS.parent, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-10_000:]
