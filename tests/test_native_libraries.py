"""Tests that load other runtimes have a process of their own, which a fault in native code ends alone.

Where all tests are asked for they run here; where their files or folders are named they run as any others.
"""

import subprocess
import sys

import pytest
from native import NATIVE, TESTS


@pytest.mark.slow
@pytest.mark.parametrize("where", NATIVE)
def test_they_pass(where):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS / where]
    done = subprocess.run(command, cwd=TESTS.parent, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
