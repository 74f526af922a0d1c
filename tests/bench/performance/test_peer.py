"""Somebody else's loop runs in an environment of its own, and its ratios follow from its seconds."""

import json
import statistics
import sys

import pytest

from bench.performance.command import measure
from bench.performance.page import page
from bench.performance.peer import find_peer
from bench.planning.options import Options

LOSSES = """
import torch
from torch import nn
from torch.nn import functional as F

class KDLoss(nn.Module):
    def __init__(self, ours, our_io, theirs, their_io, temperature, alpha):
        super().__init__()
        assert (ours, our_io, theirs, their_io) == (".", "output", ".", "output")
        self.temperature, self.alpha = temperature, alpha

    def forward(self, student, teacher, targets):
        s, t = student["."]["output"], teacher["."]["output"]
        assert s.shape[1] == 2 and s.requires_grad and not t.requires_grad
        soft = F.kl_div((s / self.temperature).log_softmax(1), (t / self.temperature).softmax(1))
        return self.alpha * F.cross_entropy(s, targets) + (1 - self.alpha) * soft

class ATLoss(nn.Module):
    def __init__(self, at_pairs):
        super().__init__()
        self.pairs = at_pairs

    def forward(self, student, teacher):
        values = []
        for pair in self.pairs.values():
            s, t = (seen[pair[who]["path"]][pair[who]["io"]] for seen, who in
                    ((student, "student"), (teacher, "teacher")))
            assert s.shape[2:] == t.shape[2:], "like blocks"
            s, t = (F.normalize(feature.pow(2).mean(1).flatten(1)) for feature in (s, t))
            values.append((s - t).pow(2).mean())
        assert len(values) == 3
        return sum(values)
"""
"""Stands in for the library, which needs an environment of its own: the same names and arguments."""


@pytest.fixture
def environment(tmp_path):
    """The Python of an environment that has the library."""
    package = tmp_path / "packages" / "torchdistill" / "losses"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "mid_level.py").write_text(LOSSES)
    information = tmp_path / "packages" / "torchdistill-9.9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: torchdistill\nVersion: 9.9\n")
    python = tmp_path / "python"
    path = f"$PYTHONPATH:{tmp_path / 'packages'}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


@pytest.mark.slow
def test_it_stands_beside_the_plain_loop(environment, tmp_path):
    peer = find_peer("torchdistill", environment)
    assert peer.version.startswith("9.9 with torch 2.")
    measure(Options(dataset="phantom", device="cpu"), tmp_path / "p", quick=True, peer=peer)
    found = json.loads((tmp_path / "p" / "performance.json").read_text())
    seconds = {(r["what"], r["network"], r["precision"]): r["seconds"] for r in found["seconds_per_step"]}
    for row in found["peer"]["epochs"]:
        theirs = seconds["torchdistill", row["network"], row["plain_precision"]]
        job = seconds["combined", row["network"], row["precision"]]
        recording = seconds["recording", "unet-4-8-16", row["precision"]]
        ratios = [t / (j + r / 3) for t, j, r in zip(theirs, job, recording, strict=True)]
        assert row["times_faster"] == pytest.approx(statistics.median(ratios))
    assert "against the loop of a torchdistill user" in page(found)
    assert str(tmp_path) not in json.dumps(found)
    assert "torchdistill" not in page(found | {"peer": None})


def test_an_environment_without_it_is_one_line(refused, tmp_path):
    line = refused("performance", "--peer", "torchdistill", "--results", tmp_path / "p")
    assert "can't import it (ModuleNotFoundError: No module named 'torchdistill')" in line
    assert "name its Python with --peer-python" in line
    nowhere = tmp_path / "nowhere"
    assert "No such file" in refused("performance", "--peer", "torchdistill", "--peer-python", nowhere)
    assert "--peer 'moon' is unknown; known: torchdistill" in refused("performance", "--peer", "moon")
    assert not (tmp_path / "p").exists()
