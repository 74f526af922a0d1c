"""Studies without any training: records whose truth is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import methods
from bench.files.atomic import write_json
from bench.job import Job
from bench.report import method_names
from bench.study.store import Study

TEACHER = "unet-64-128-256-512"
SIZES = {
    TEACHER: 7_696_193,
    "unet-32-64-128-256": 1_925_025,
    "unet-32-64-128": 465_953,
    "unet-32-64": 100_961,
}
LEVELS = {TEACHER: 0.84, "unet-32-64-128-256": 0.82, "unet-32-64-128": 0.79, "unet-32-64": 0.74}
EFFECTS = {"baseline": 0.0, "pm-kd": 0.0, "at-kd": -0.03, "combined": 0.03}
"""Of each method on every student: nothing, harm, gain."""


@dataclass
class SimulatedStudy:
    """Writes records of jobs that never ran, with the Dice that the truth and some noise give them."""

    study: Study
    dataset: str = "liver-ct"
    patients: int = 22
    cases: int = 4
    sd_patient: float = 0.01
    sd_seed: float = 0.002
    sd_residual: float = 0.005
    part: str = "val"

    def job(self, network: str, method: str, seed: int, **changes: object) -> Job:
        spec = methods.build(method)
        teachers = (self.job(TEACHER, "baseline", seed).id,) if spec.needs_teacher else ()
        values = {
            "dataset": self.dataset, "data": "d", "split": "s", "spatial_dims": 2, "in_channels": 1,
            "out_channels": 1, "image_size": 96, "architecture": network, "method": spec.name,
            "parameters": tuple(sorted(methods.parameters(spec).items())), "seg_loss": "dice-bce",
            "seed": seed, "teachers": teachers, "threads": 2, "precision": "fp32", "compiled": True,
            "recipe": methods.text(spec),
        }  # fmt: skip
        return Job(**(values | changes))

    def add(self, network: str, method: str, seed: int, effect: float | None = None, **changes) -> Job:
        job = self.job(network, method, seed, **changes)
        gain = EFFECTS[job.method] if effect is None else effect
        rng = np.random.default_rng([seed, *f"{network}{method}{job.seg_loss}".encode()])
        always = np.random.default_rng([*f"{network}{method}".encode()])
        hard = np.random.default_rng(0).normal(scale=0.05, size=self.patients)
        level = LEVELS.get(network, 0.7) + gain + self.sd_seed * rng.normal() + hard
        level = level + self.sd_patient * always.normal(size=self.patients)
        level = level + self.sd_residual * rng.normal(size=self.patients)
        rows = []
        for p in range(self.patients):
            for c in range(self.cases):
                dice = float(np.clip(level[p] + 0.02 * (c - (self.cases - 1) / 2), 0, 1))
                size = 200 * (c + 1) * (p + 3)
                rows.append({"case": f"p{p}_{c}", "patient": f"p{p}", "organ_size": size, "dice": dice})
        mean, parameters = float(np.mean([row["dice"] for row in rows])), SIZES.get(network, 3000)
        scores = {"dice": mean, "dice_slice": mean, "hd95": 5.0, "nsd": 0.5, "rows": rows}
        curves = [
            {"epoch": e, "seg": 1.5 / e + 0.01 * rng.normal(), "dice_val": mean * (1 - 0.5 / e)}
            for e in range(1, 21)
        ]
        record = {
            "id": job.id, "status": "done", "job": job.as_dict(), "curves": curves, "best_epoch": 20,
            "dice_val_last": mean, "val": scores,
            "cost": {"parameters": parameters, "size_mb": parameters * 4e-6,
                     "train_seconds": 100.0 + parameters / 1e4, "peak_memory_train_mb": 900.0},
            "dataset": {"synthetic": self.dataset == "phantom", "train_patients": 80},
            "provenance": {"commit": "abc"},
        }  # fmt: skip
        if self.part == "test":
            record["test"] = scores
        self.study.plan(job)
        write_json(self.study.path("records", job.id), record)
        return job

    def fill(self, seeds: int = 3, students: int = 3, names: tuple[str, ...] = tuple(EFFECTS)) -> Study:
        """The report's matrix, or a corner of it."""
        for seed in range(seeds):
            self.add(TEACHER, "baseline", seed, effect=0.0)
            for network in [*SIZES][1:][-students:] if students else ():
                for method in names:
                    self.add(network, method, seed)
        return self.study

    def measure(self) -> None:
        """A profile of every network: cost grows with size."""
        entries = [
            {"architecture": name, "graph": name, "side": 96, "shape": [1, 1, 96, 96], "device": "cpu",
             "threads": 2, "precision": "fp32", "backend": "torch", "parameters": size,
             "macs": size * 700, "size_mb": size * 4e-6, "peak_memory_mb": 20 + size / 1e5,
             "machine": {"cpu": "x", "gpu": None}, "latency_ms": [size**0.5 / 20] * 20}
            for name, size in SIZES.items()
        ]  # fmt: skip
        (self.study.root / "profile.json").write_text(json.dumps({"entries": entries}))


@pytest.fixture(autouse=True)
def nothing_learned(monkeypatch) -> None:
    """Names that a test's records bring are forgotten after it."""
    for name in ("_labels", "_ranks"):
        monkeypatch.setattr(method_names, name, dict(getattr(method_names, name)))


@pytest.fixture
def simulated(tmp_path: Path) -> SimulatedStudy:
    """An empty study to fill with records of a known truth."""
    study = Study(tmp_path / "study")
    study.create({"device": "cpu"}, synthetic=False)
    return SimulatedStudy(study)
