"""What stands beside the scores: costs, a distance's unit, the version of the code, how much is done."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd

from bench.job import Job
from bench.protocol import SIDES
from bench.report.old_records import reach
from bench.study.profile import Key
from bench.study.store import Study


def distance_unit(record: dict[str, Any]) -> str:
    """What HD95 is in and the tolerance of NSD: ``mm`` where the data have a spacing, else ``px``."""
    volumes = record["job"]["spatial_dims"] == 3 or record["job"].get("slices")
    return "mm" if record["dataset"].get("spacing_mm") or volumes else "px"


def letters(codes: pd.Series) -> dict[str, str]:
    """A letter for every version of the code, the most frequent first; numbers where letters end."""
    count = sorted(codes.value_counts().items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        code: ascii_lowercase[k] if k < len(ascii_lowercase) else str(k + 1)
        for k, (code, _) in enumerate(count)
    }


def progress(study: Study, frame: pd.DataFrame) -> str:
    """``40 of 65 jobs`` where not all that is planned is done; what the matrix skips is not planned."""
    planned = {path.stem for path in study.all("jobs")} | set(frame.id)
    wanted = len(planned - set(frame.id[frame.status == "skipped"]))
    done = int((frame.status == "done").sum())
    return f"{done} of {wanted} jobs" if done < wanted else ""


def made_seconds(cost: dict[str, Any]) -> float:
    """What making the network took in this job: training, recording of targets, converting."""
    phases = cost.get("seconds") or {}
    own = (
        cost.get("train_seconds"),
        *(phases.get(name) for name in ("recording", "reshaping", "converting")),
    )
    return float(sum(value or 0.0 for value in own))


def costs_of(job: Job, graph: str, costs: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    """What was measured of the job's network; 0 stands for the most threads."""
    key = (graph, job.image_size, False)
    cpu, gpu = costs.get((*key, "cpu", 0)), costs.get((*key, "cuda", 0)) or costs.get((*key, "mps", 0))
    alone, volume = costs.get((*key, "cpu", 1)), costs.get((graph, job.image_size, True, "cpu", 0))
    found: dict[str, Any] = dict(zip(("stride", "receptive_field"), reach(job.architecture), strict=True))
    if volume:
        found["latency_volume_cpu_ms_p50"] = np.percentile(volume["latency_ms"], 50)
    if cpu:
        found |= {name: cpu[name] for name in ("stride", "receptive_field") if name in cpu}
        found |= {
            "macs": cpu["macs"],
            "flops": 2 * cpu["macs"] if cpu["macs"] is not None else None,
            "latency_cpu_ms_p50": np.percentile(cpu["latency_ms"], 50),
            "latency_cpu_ms_p95": np.percentile(cpu["latency_ms"], 95),
            "peak_memory_inference_mb": cpu["peak_memory_mb"],
        }
    if alone:
        found["latency_cpu_1_ms_p50"] = np.percentile(alone["latency_ms"], 50)
    for side in SIDES:
        for threads, name in ((0, "latency_cpu_ms"), (1, "latency_cpu_1_ms")):
            if entry := costs.get((graph, side, False, "cpu", threads)):
                found[f"{name}_{side}"] = np.percentile(entry["latency_ms"], 50)
    if gpu:
        found["latency_gpu_ms_p50"] = np.percentile(gpu["latency_ms"], 50)
    return found
