"""Somebody else's loop beside ours: in an environment of its own, asked for steps like all others."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.errors import UserError
from bench.performance.plain_loop import Reference

PEERS = ("torchdistill",)
ROOT = Path(__file__).resolve().parents[2]
HOW = "python3.11 -m venv PEER; PEER/bin/pip install torch; PEER/bin/pip install --no-deps torchdistill"


@dataclass(frozen=True)
class Peer:
    """A library with a loop of its own, and the Python that has it."""

    name: str
    python: str
    version: str


def find_peer(name: str, python: Path | None) -> Peer:
    """The peer of that name in the environment of ``python``, by default this one.

    Raises:
        UserError: an unknown name, or an environment that lacks the library.
    """
    if name not in PEERS:
        raise UserError(f"--peer {name!r} is unknown; known: {', '.join(PEERS)}")
    command = str(python or sys.executable)
    code = (
        "import torchdistill.losses.mid_level, importlib.metadata as m;"
        "print(m.version('torchdistill'), 'with torch', m.version('torch'))"
    )
    try:
        answer = subprocess.run([command, "-c", code], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        reason = said.strip().splitlines()[-1]
        raise UserError(
            f"--peer {name}: {command} can't import it ({reason}); make an environment for it ({HOW}) "
            "and name its Python with --peer-python PEER/bin/python"
        ) from None
    return Peer(name, command, answer.stdout.strip().splitlines()[-1])


@contextlib.contextmanager
def peer_steps(peer: Peer, reference: Reference) -> Iterator[Callable[[str, str, int], None]]:
    """A function that lets the peer's loop of (student, precision) take so many steps."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.pt"
        given = {
            "teacher": reference.teacher,
            "images": torch.from_numpy(reference.images),
            "labels": torch.from_numpy(reference.labels),
            "out_channels": reference.out_channels,
            "device": reference.device.type,
            "threads": reference.threads,
        }
        torch.save(given, path)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [peer.python, "-m", f"bench.performance.peer_{peer.name}", str(path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, env=environment, **pipes) as process:  # type: ignore[call-overload]
            answers = iter(process.stdout)

            def heard(word: str) -> None:
                if next(answers, "").strip() != word:
                    raise UserError(f"--peer {peer.name}: its loop ended; what it said stands above")

            def steps(student: str, precision: str, count: int) -> None:
                process.stdin.write(f"{student} {precision} {count}\n")
                process.stdin.flush()
                heard("done")

            try:
                heard("ready")
                yield steps
            finally:
                process.terminate()
