"""Somebody else's loop runs in an environment of its own, and its ratios follow from its seconds."""

import json
import statistics
from pathlib import Path

import pytest

from bench.performance.page import page


@pytest.mark.slow
def test_it_stands_beside_the_plain_loop(measured):
    root, peer = measured
    assert peer.version.startswith("9.9 with torch 2.")
    found = json.loads((root / "performance.json").read_text())
    seconds = {(r["what"], r["network"], r["precision"]): r["seconds"] for r in found["seconds_per_step"]}
    for row in found["peer"]["epochs"]:
        theirs = seconds["torchdistill", row["network"], row["plain_precision"]]
        job = seconds["combined", row["network"], row["precision"]]
        recording = seconds["recording", "unet-4-8-16", row["precision"]]
        ratios = [t / (j + r / 3) for t, j, r in zip(theirs, job, recording, strict=True)]
        assert row["times_faster"] == pytest.approx(statistics.median(ratios))
    assert "against the loop of a torchdistill user" in page(found)
    assert str(Path(peer.python).parent) not in json.dumps(found)
    assert "torchdistill" not in page(found | {"peer": None})


def test_an_environment_without_it_is_one_line(refused, tmp_path):
    line = refused("performance", "--peer", "torchdistill", "--results", tmp_path / "p")
    assert "can't import it (ModuleNotFoundError: No module named 'torchdistill')" in line
    assert "name its Python with --peer-python" in line
    nowhere = tmp_path / "nowhere"
    assert "No such file" in refused("performance", "--peer", "torchdistill", "--peer-python", nowhere)
    assert "--peer 'moon' is unknown; known: torchdistill" in refused("performance", "--peer", "moon")
    assert not (tmp_path / "p").exists()
