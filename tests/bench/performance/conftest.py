"""One quick measurement for all tests of it, beside somebody else's loop in an environment of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.performance.command import measure
from bench.performance.peer import Peer, find_peer
from bench.planning.options import Options
from bench.telling import told_to

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


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> Path:
    """The Python of an environment that has the library."""
    tmp_path = tmp_path_factory.mktemp("environment")
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


@pytest.fixture(scope="session")
def measured(environment, tmp_path_factory) -> tuple[Path, Peer]:
    """The folder that the command has written to, and the other's loop."""
    folder, said = tmp_path_factory.mktemp("performance"), []
    peer = find_peer("torchdistill", environment)
    with told_to(said.append):
        measure(Options(dataset="phantom", device="cpu"), folder, quick=True, peer=peer)
    assert (folder / "performance.md").read_text() in said
    return folder, peer
