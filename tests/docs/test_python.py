"""The example in docs/python.md runs as it is written."""

import multiprocessing.process
import re
import runpy
from pathlib import Path

import pytest

from bench import api

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "python.md").read_text()


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch, capfd, short, brief_profile, no_figures):
    """As a script that is called in the folder where it lies; its jobs' processes import it."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(multiprocessing.process, "ORIGINAL_DIR", str(tmp_path))
    runpy.run_path(str(tmp_path / "example.py"), run_name="__main__")
    out = capfd.readouterr().out
    assert "(1, 96, 96) (96, 96) uint8" in out
    assert "dtype: float64" in out, "Dice of patients"
    assert sorted(api.records(api.open_study(tmp_path / "results" / "small")).status) == ["done"] * 3


def test_the_page_names_every_function():
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, flags=re.MULTILINE)) == set(api.__all__)
