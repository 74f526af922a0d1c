"""A study that is killed again and again, and started again, ends as one that never was.

Really killed: SIGKILL to the whole process group, at 20 moments that meet every phase. A moment is either
*timed*, a random while after a file of its phase has changed, or it is in the middle of *writing*: when a
file of its phase is on the disk but not yet in its place, or just in its place (``study_server``). The
moments are in an order in which each still lies ahead, however fast the machine is.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import missing

from bench.study.store import Study

pytestmark = pytest.mark.slow

if not Path("/proc/self/fd").is_dir():
    missing("finds open files in /proc")

MATRIX = """
teacher: unet-4-8
students: [unet-2-4]
methods: [baseline, combined]
image_size: 16
updates: 80
"""
SECONDS = 120
MOMENTS = [
    ("timed", "jobs/*", 0.1),
    ("timed", "checkpoints/*", 0.1),
    ("writing", "*/checkpoints/.*", 3),
    ("timed", "checkpoints/*", 0.1),
    ("timed", "checkpoints/*", 0.1),
    ("writing", "*/weights/.*", 1),
    ("writing", "*/predictions/.*", 1),
    ("writing", "*/records/.*", 1),
    ("timed", "weights/*", 0.1),
    ("writing", "*/records", 1),
    ("writing", "*/targets/.*/*", 1),
    ("writing", "*/targets/.*/*", 2),
    ("timed", "targets/.*", 0.3),
    ("timed", "checkpoints/*", 0.1),
    ("writing", "*/checkpoints", 2),
    ("timed", "predictions/*", 0.05),
    ("timed", "summary.csv", 0.2),
    ("timed", "summary.csv", 0.5),
    ("writing", "*/figures/.*", 3),
    ("writing", "*/page*", 5),
]


@pytest.fixture(scope="module")
def server():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("study_server.py"))], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="module")
def studies(server, tmp_path_factory):
    """Two studies of one matrix, one of them killed at all moments."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "tiny.yaml").write_text(MATRIX)
    chance = random.Random(5)

    def start(name, die=None):
        arguments = ["--matrix", "tiny.yaml", "--results", name, "--device", "cpu", "--precision", "fp32"]
        arguments = [str(folder / a) if a in ("tiny.yaml", name) else a for a in arguments]
        arguments += ["--no-compile", "--workers", "1"]
        order = {"arguments": arguments, "log": str(folder / "log"), "die": die}
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    def ended():
        return int(server.stdout.readline())

    start("whole")
    assert ended() == 0, (folder / "log").read_text()
    root = folder / "killed"
    for kind, pattern, extent in MOMENTS:
        if kind == "writing":
            start("killed", [f"*/killed{pattern.removeprefix('*')}", extent])
        else:
            began = time.time()
            group = start("killed")
            wait_for_change(root, pattern, began)
            time.sleep(chance.uniform(0, extent))
            os.killpg(group, signal.SIGKILL)
        assert ended() == -signal.SIGKILL, (kind, pattern, (folder / "log").read_text())
    start("killed")
    assert ended() == 0, (folder / "log").read_text()
    return Study(folder / "whole"), Study(root), (folder / "log").read_text()


def wait_for_change(root, pattern, since):
    """Files that are not in their place yet are looked at only where the pattern names them."""
    hidden = "/." in pattern
    while time.time() < since + SECONDS:
        for path in root.glob(pattern):
            if path.name.startswith(".") > hidden:
                continue
            try:
                if path.stat().st_mtime > since:
                    return
            except FileNotFoundError:
                pass
        time.sleep(0.001)
    pytest.fail(f"no new {pattern} in {SECONDS} s")


def test_weights_curves_and_cases_are_the_same_bit_by_bit(studies):
    whole, killed, _ = studies
    jobs = whole.jobs()
    assert jobs == killed.jobs()
    assert len(jobs) == 3
    for job in jobs:
        one, other = whole.record(job.id), killed.record(job.id)
        for kind in ("weights", "predictions"):
            assert whole.path(kind, job.id).read_bytes() == killed.path(kind, job.id).read_bytes()
        for part in ("val", "test", "best_epoch", "files"):
            assert one[part] == other[part]
        without = [[{**row, "seconds": 0} for row in record["curves"]] for record in (one, other)]
        assert without[0] == without[1]
        assert len(without[0]) == 20
    for name in ("cases.csv", "cases_val.csv", "comparisons.csv"):
        assert (whole.root / name).read_bytes() == (killed.root / name).read_bytes()
    scores = ["id", "status", "dice", "dice_val", "dice_val_last", "hd95", "nsd", "best_epoch"]
    frames = [pd.read_csv(study.root / "summary.csv")[scores] for study in (whole, killed)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)


def test_it_went_on_where_it_was(studies):
    _, killed, log = studies
    resumed = [record["provenance"].get("resumed_after_epochs", []) for record in killed.records()]
    assert sum(map(len, resumed)) >= 6
    assert "3 jobs, 3 done, 0 to run" in log


def test_nothing_is_left_over(studies):
    whole, killed, _ = studies
    names = [
        {str(path.relative_to(study.root)) for path in study.root.rglob("*")} for study in (whole, killed)
    ]
    assert names[0] == names[1]
    assert not list(killed.root.rglob("*.corrupt*"))
    assert not killed.all("checkpoints")
    targets = [sorted(study.root.glob("targets/*/*.npy")) for study in (whole, killed)]
    for one, other in zip(*targets, strict=True):
        assert np.array_equal(np.load(one), np.load(other))
