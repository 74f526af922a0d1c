"""Frames per second of each network, one image at a time, on one core and on all."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from bench.performance.lab import Lab
from bench.scoring.latency import latencies
from methods.artefact import TorchArtefact


def measure_inference(lab: Lab) -> list[dict[str, Any]]:
    """The artefacts that a study measures (fp32, on the CPU), all networks in rounds; weights are fresh."""
    scale, threads = lab.scale, lab.session.settings["threads"]
    names = (scale.teacher, *scale.students)
    x = torch.rand(1, lab.session.dataset.in_channels, scale.inference_side, scale.inference_side)
    calls = [partial(TorchArtefact(lab.network(name)).predict, x) for name in names]
    rows = []
    for cores in sorted({1, threads}):
        measured = latencies(calls, cores, scale.inference_repeats, scale.inference_seconds)
        for name, values in zip(names, measured, strict=True):
            p50, p95 = np.percentile(values, [50, 95])
            row = {"network": name, "side": scale.inference_side, "cores": cores}
            rows.append(row | {"frames_per_second": 1e3 / p50, "ms_p50": p50, "ms_p95": p95})
    torch.set_num_threads(threads)
    return rows
