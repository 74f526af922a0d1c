"""A study of folds whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bench.files.atomic import write_json

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"
METHODS = ("baseline", "pm-kd", "at-kd", "combined")


@dataclass
class FoldedStudy:
    """Records of a simulated study in which fold k tests every N-th patient."""

    simulated: Any
    folds: int = 5

    @property
    def study(self):
        return self.simulated.study

    def name(self, *contrasts: str) -> FoldedStudy:
        """Write the number of folds and what was named before the study began."""
        settings = {"device": "cpu", "folds": self.folds, "contrasts": list(contrasts)}
        write_json(self.study.root / "study.json", settings)
        return self

    def add(self, network: str, method: str, fold: int, seed: int = 0, **changes: Any) -> str:
        """One job of a fold; the id."""
        own = seed * self.folds + fold
        if network != TEACHER and method != "baseline" and "teachers" not in changes:
            changes["teachers"] = (self.simulated.job(TEACHER, "baseline", own, fold=fold).id,)
        updates = changes.pop("made", 500)
        job = self.simulated.add(network, method, own, fold=fold, **changes)
        path = self.study.path("records", job.id)
        record = json.loads(path.read_text())
        tested = [f"p{k}" for k in range(fold, self.simulated.patients, self.folds)]
        for part in ("val", "test"):
            if part in record:
                rows = [row for row in record[part]["rows"] if row["patient"] in tested]
                mean = sum(row["dice"] for row in rows) / len(rows)
                record[part] |= {"rows": rows, "dice": mean}
        record["cost"]["updates"] = updates
        write_json(path, record)
        return job.id

    def fill(
        self,
        folds: Iterable[int] | None = None,
        networks: Sequence[str] = (SMALL,),
        names: Sequence[str] = METHODS,
        seeds: int = 1,
    ) -> FoldedStudy:
        """Teacher and students of the folds; all of them by default."""
        for fold in range(self.folds) if folds is None else folds:
            for seed in range(seeds):
                self.add(TEACHER, "baseline", fold, seed, effect=0.0)
                for network in networks:
                    for name in names:
                        self.add(network, name, fold, seed)
        return self


@pytest.fixture
def folded(simulated):
    """An empty study of five folds, 60 patients, test scores; nothing is named beforehand."""
    simulated.patients, simulated.part = 60, "test"
    return FoldedStudy(simulated).name()
