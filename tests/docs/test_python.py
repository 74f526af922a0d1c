"""The example in docs/python.md runs as it is written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import api

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text()


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    [example] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(1, 96, 96) (96, 96) uint8" in done.stdout
    assert "dtype: float64" in done.stdout, "Dice of patients"
    assert sorted(api.records(api.open_study(tmp_path / "results" / "small")).status) == ["done"] * 3


def test_the_page_names_every_function():
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, flags=re.MULTILINE)) == set(api.__all__)
