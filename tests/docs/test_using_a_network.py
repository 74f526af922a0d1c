"""The walk in docs/using-a-network.md, command after command as it is written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import short_jobs
from commands import needs
from PIL import Image

from methods.converting.steps import NEEDED

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "using-a-network.md").read_text()


@pytest.mark.slow
def test_the_walk(tmp_path):
    for package in NEEDED["onnxruntime"]:
        needs(package)
    script = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL))
    assert script.count("run_bench.py") == 5
    # Its networks are trained for a few epochs and measured for a moment.
    (tmp_path / "walk.sh").write_text(script.replace("run_bench.py", str(short_jobs.SCRIPT)))
    folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "walk.sh"], cwd=tmp_path, check=False, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{folder}:/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "by which it was chosen" in done.stdout
    masks = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in masks] == [f"{name}.png" for name in "abcdefgh"]
    assert any(np.asarray(Image.open(path)).any() for path in masks)
    said = json.loads((tmp_path / "bundle/configs/inference.json").read_bytes())
    assert said["preprocessing"]["size"] == 32
    assert said["synthetic"]


def test_the_table_names_every_file_of_a_bundle():
    for name in ("inference.json", "metadata.json", "predict.py", "README.md", "LICENSE"):
        assert name in PAGE
