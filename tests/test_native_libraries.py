"""Tests that load other runtimes have a process of their own (``native.py``), which began with the others.

Where all tests are asked for they run there; where their files or folders are named they run as any others.
"""

import pytest


@pytest.mark.slow
def test_they_pass(beside):
    code, said = beside.ended()
    assert code == 0, said[-10_000:]
