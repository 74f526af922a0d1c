"""Each page of docs/ that says how to add something is followed once, as it is written."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_registered")]

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    "adding-an-architecture.md": "plain.py",
    "adding-a-method.md": "logit_mse.py",
    "plugins.md": "segresnet.py",
    "adding-a-dataset.md": "spleen.py",
}
"""Pages, and the file that a reader of each writes."""
TYPES = """
[mypy]
disallow_untyped_defs = true
ignore_missing_imports = true
follow_imports = silent

[mypy-torch.*,monai.*]
follow_imports = skip
"""
"""Calls of our own code are held to its types. What torch makes of a file is seen when it runs."""
TIDY = f"""
line-length = 108
src = ["{ROOT}"]
lint.select = ["E", "F", "W", "I", "UP", "B"]
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A folder with the files of all pages."""
    folder = tmp_path_factory.mktemp("pages")
    for page, name in PAGES.items():
        (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
        (folder / name).write_text(code)
    return folder


@pytest.fixture
def here(files, monkeypatch) -> Path:
    """The same folder, as the working directory."""
    monkeypatch.chdir(files)
    return files


@pytest.mark.parametrize(
    "tool",
    [
        ("ruff", "check", "--no-cache", "--config", "ruff.toml"),
        ("mypy", "--config-file", "mypy.ini", "--cache-dir", "types"),
    ],
    ids=lambda tool: tool[0],
)
def test_the_files_are_tidy_and_typed(here, tool, monkeypatch):
    (here / "ruff.toml").write_text(TIDY)
    (here / "mypy.ini").write_text(TYPES)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", *tool, *PAGES.values()], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in PAGES.values() if name != "spleen.py"])
def test_check_plugin_finds_them_well(here, bench, name):
    assert ": well" in bench("check-plugin", name).out


def test_adding_an_architecture(here, bench, tmp_path):
    assert "architecture plain-8" in bench("list", "--plugin", "plain.py").out
    (here / "m.yaml").write_text(
        "teacher: unet-4-8\nstudents: [plain-8]\nimage_size: 16\nplugins: [plain.py]\n"
    )
    result = bench("--matrix", "m.yaml", "--results", tmp_path / "s", "--dry-run")
    assert result.out.count("to do") == 5, result.err


def test_adding_a_method(here, bench):
    listed = bench("list", "--plugin", "logit_mse.py").out
    assert "method logit-mse  weight=0.1  unlabelled_weight=1.0" in listed


def test_adding_a_dataset(here, bench, tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file,person"]
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for person in range(30):
        name = f"p{person}.png"
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / "images" / name)
        mask = np.zeros((64, 64), np.uint8)
        mask[10:30, 10:40] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / name)
        rows.append(f"{name},{person}")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    command = re.search(
        r"python run_bench.py (--matrix unets --plugin spleen.*)",
        (ROOT / "docs/adding-a-dataset.md").read_text(),
    )
    assert command
    result = bench(*command[1].replace("FOLDER", str(tmp_path)).split(), "--dry-run")
    assert result.out.count("to do") == 13, result.err
