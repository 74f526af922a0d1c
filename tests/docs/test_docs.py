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
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} no longer has {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_adding_an_architecture(copy):
    code, line = blocks("adding-an-architecture.md")
    (copy / "architectures" / "plain.py").write_text(code)
    registry = copy / "architectures" / "__init__.py"
    replace(registry, "FAMILIES = (unet, dmfnet)", line.strip())
    replace(
        registry, "from architectures import dmfnet, unet", "from architectures import dmfnet, plain, unet"
    )
    assert "plain-8" in call(copy, "run_bench.py", "list")
    out = call(
        copy,
        "-m",
        "pytest",
        "tests/architectures/test_conformance.py",
        "-k",
        "plain",
        "-p",
        "no:cacheprovider",
    )
    assert "2 passed" in out
    matrix = copy / "m.yaml"
    matrix.write_text("teacher: unet-4-8\nstudents: [plain-8]\nimage_size: 16\n")
    out = call(copy, "run_bench.py", "--matrix", "m.yaml", "--dry-run")
    assert out.count("to do") == 5


def test_adding_a_method(copy):
    code, line = blocks("adding-a-method.md")
    (copy / "methods" / "training" / "logit_mse.py").write_text(code)
    registry = copy / "methods" / "recipe.py"
    replace(registry, "(Baseline, PmKd, AtKd, Combined)", line.strip())
    replace(
        registry,
        "from methods.training.pm_kd",
        "from methods.training.logit_mse import LogitMse\nfrom methods.training.pm_kd",
    )
    assert "method logit-mse  weight=0.1" in call(copy, "run_bench.py", "list")
    tests = ["tests/methods/test_conformance.py", "tests/methods/test_properties.py"]
    out = call(copy, "-m", "pytest", *tests, "-k", "logit-mse", "-p", "no:cacheprovider")
    assert "passed" in out


def test_adding_a_dataset(copy):
    (code,) = blocks("adding-a-dataset.md")
    registry = copy / "bench" / "data" / "datasets.py"
    function, line = code.split("\n\n\n")
    replace(registry, "DATASETS: dict", f"{function}\n\n\nDATASETS: dict")
    replace(registry, "\n\n\ndef source(", f"\n{line.strip()}\n\n\ndef source(")
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
        r"python run_bench.py (--matrix unets --dataset spleen.*)",
        (ROOT / "docs/adding-a-dataset.md").read_text(),
    )
    assert command
    out = call(copy, "run_bench.py", *command[1].replace("FOLDER", "spleen").split(), "--dry-run")
    assert out.count("to do") == 13
