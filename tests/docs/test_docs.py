"""Each page of docs/ that says how to add something is followed once, as it is written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    """A copy of the code that a page may change."""
    for name in ("architectures", "methods", "bench", "tests", "run_bench.py", "pyproject.toml"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        (shutil.copytree(source, tmp_path / name, ignore=ignore) if source.is_dir() else
         shutil.copy(source, tmp_path / name))  # fmt: skip
    return tmp_path


def call(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=False, capture_output=True, text=True,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder),
             "MYPY_CACHE_DIR": str(folder.parent / "types")},  # what it knows of torch, for all pages
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checked(folder: Path, name: str, code: str) -> None:
    """The file as a user writes it: tidy, typed, and found well by ``check-plugin``."""
    (folder / name).write_text(code)
    for tool in (["ruff", "check", "--select", "E,F,W,I,UP,B"], ["mypy", "--ignore-missing-imports"]):
        call(folder, "-m", *tool, name)
    assert ": well" in call(folder, "run_bench.py", "check-plugin", name)


def test_adding_an_architecture(copy):
    (code,) = blocks("adding-an-architecture.md")
    checked(copy, "plain.py", code)
    assert "architecture plain-8" in call(copy, "run_bench.py", "list", "--plugin", "plain.py")
    matrix = copy / "m.yaml"
    matrix.write_text("teacher: unet-4-8\nstudents: [plain-8]\nimage_size: 16\nplugins: [plain.py]\n")
    out = call(copy, "run_bench.py", "--matrix", "m.yaml", "--dry-run")
    assert out.count("to do") == 5


def test_adding_a_method(copy):
    (code,) = blocks("adding-a-method.md")
    checked(copy, "logit_mse.py", code)
    listed = call(copy, "run_bench.py", "list", "--plugin", "logit_mse.py")
    assert "method logit-mse  weight=0.1  unlabelled_weight=1.0" in listed


def test_a_network_that_was_not_made_for_this(copy):
    (code,) = blocks("plugins.md")
    checked(copy, "segresnet.py", code)


def test_adding_a_dataset(copy):
    (code,) = blocks("adding-a-dataset.md")
    (copy / "spleen.py").write_text(code)
    for tool in (["ruff", "check", "--select", "E,F,W,I,UP,B"], ["mypy", "--ignore-missing-imports"]):
        call(copy, "-m", *tool, "spleen.py")
    rng = np.random.default_rng(0)
    rows = ["file,person"]
    for kind in ("images", "masks"):
        (copy / "spleen" / kind).mkdir(parents=True)
    for person in range(30):
        name = f"p{person}.png"
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(copy / "spleen/images" / name)
        mask = np.zeros((64, 64), np.uint8)
        mask[10:30, 10:40] = 255
        Image.fromarray(mask).save(copy / "spleen/masks" / name)
        rows.append(f"{name},{person}")
    (copy / "spleen" / "index.csv").write_text("\n".join(rows) + "\n")
    command = re.search(
        r"python run_bench.py (--matrix unets --plugin spleen.*)",
        (ROOT / "docs/adding-a-dataset.md").read_text(),
    )
    assert command
    out = call(copy, "run_bench.py", *command[1].replace("FOLDER", "spleen").split(), "--dry-run")
    assert out.count("to do") == 13
