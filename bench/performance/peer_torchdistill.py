"""The distillation loop that a user of torchdistill runs, as a program for an environment of its own.

``performance --peer torchdistill`` starts it with the Python of that environment, which needs torch and
torchdistill only. It reads a file of tensors and options, then lines ``STUDENT PRECISION STEPS`` from its
standard input, and answers each with ``done`` when the steps are taken.

The losses are torchdistill's own: ``KDLoss`` (cross-entropy and the prediction map) and ``ATLoss`` on every
block that both networks have; features come from forward hooks, as it takes them. The teacher runs under
``no_grad`` in every step. A sigmoid has no place in ``KDLoss``, so one class is two channels here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

import architectures
from bench.performance.slices import loader
from bench.protocol import LEARNING_RATE

TEMPERATURE, ALPHA, AT_WEIGHT = 4.0, 0.9, 0.9


def main(path: str) -> None:
    """Serve the loops of the file at ``path``."""
    given: dict[str, Any] = torch.load(path, weights_only=True)
    torch.set_num_threads(given["threads"])
    loops: dict[tuple[str, str], Iterator[float]] = {}
    print("ready", flush=True)
    for line in sys.stdin:
        student, precision, count = line.split()
        if (student, precision) not in loops:
            loops[student, precision] = loop(given, student, precision)
        for _ in range(int(count)):
            next(loops[student, precision])
        print("done", flush=True)


def loop(given: dict[str, Any], student: str, precision: str) -> Iterator[float]:
    """Train ``student`` for ever; yields the loss of each step."""
    from torchdistill.losses.mid_level import ATLoss, KDLoss

    device = torch.device(given["device"])
    images, labels = given["images"], given["labels"]
    channels = max(2, given["out_channels"])
    names = student, given["teacher"]
    learner, teacher = (_network(name, images.shape[1], channels, device) for name in names)
    learner.train()
    teacher.eval().requires_grad_(False)
    pairs = _pairs(learner, teacher)
    prediction = KDLoss(".", "output", ".", "output", TEMPERATURE, alpha=ALPHA)
    attention = ATLoss(
        {
            f"{ours} {theirs}": {
                "student": {"io": "output", "path": ours},
                "teacher": {"io": "output", "path": theirs},
            }
            for ours, theirs in pairs
        }
    )
    seen = _hooked(learner, [ours for ours, _ in pairs]), _hooked(teacher, [theirs for _, theirs in pairs])
    optimiser = torch.optim.Adam(learner.parameters(), lr=LEARNING_RATE)
    batches = loader(images, labels, device)
    while True:
        for batch in batches:
            x, y = (tensor.to(device, non_blocking=True) for tensor in batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                with torch.no_grad():
                    teacher(x)
                learner(x)
                loss = prediction(*seen, y.long()) + AT_WEIGHT * attention(*seen)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            yield loss.item()


def _network(name: str, in_channels: int, out_channels: int, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return architectures.build(name, 2, in_channels, out_channels).to(device)


def _pairs(student: nn.Module, teacher: nn.Module) -> list[tuple[str, str]]:
    """Paths of like blocks in two U-Nets: encoders are counted from above, decoders from below."""
    ours, theirs = (
        len(list(network.get_submodule("decoder").children())) for network in (student, teacher)
    )
    levels = min(ours, theirs)
    down = [(f"encoder.{k}", f"encoder.{k}") for k in range(levels + 1)]
    return down + [(f"decoder.{ours - k}", f"decoder.{theirs - k}") for k in range(1, levels + 1)]


def _hooked(network: nn.Module, paths: list[str]) -> dict[str, dict[str, Tensor]]:
    """A dictionary that holds the outputs of the network and its blocks after each pass."""
    seen: dict[str, dict[str, Tensor]] = {}

    def keep(path: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda module, inputs, output: seen.update({path: {"output": output}}))

    keep(".", network)
    for path in paths:
        keep(path, network.get_submodule(path))
    return seen


if __name__ == "__main__":
    main(sys.argv[1])
