"""A job, all that it is done with, and what its step may look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import architectures
from bench.compute.runtime import Runtime
from bench.data.labels import known_to
from bench.data.prepared import Prepared
from bench.data.stream import SampleStream
from bench.job import Job
from bench.planning.options import Options
from bench.study.reporter import Reporter
from bench.study.store import Study
from bench.training.losses import segmentation_loss
from methods import Material
from methods.converting.calibration import draw

CALIBRATION_SEED = 0xCA1
CALIBRATION_BYTES = 5e8
"""Of all images that a conversion looks at; large volumes are fewer."""


@dataclass(frozen=True)
class Work:
    """A job and all that it is done with."""

    study: Study
    job: Job
    prepared: Prepared
    runtime: Runtime
    options: Options
    reporter: Reporter
    origin: dict[str, Any]
    """Its provenance, taken when it began."""

    @property
    def stream(self) -> SampleStream:
        """The samples that it trains on: those of the network that it was made from."""
        trained, options = self.study.trained(self.job), self.options
        return SampleStream.of(trained, self.prepared, options.epochs, options.steps_at_most)


def calibration_rows(work: Work) -> list[int]:
    """Training samples, each once, patient after patient in turn; the same in every job of a fold.

    Only of patients whose images the network's training may see.
    """
    patients = work.prepared.sample_patients
    known = known_to(work.study.trained(work.job), patients)
    allowed = [k for k, patient in enumerate(patients) if patient in known.labelled | known.others]
    dealt = draw([patients[k] for k in allowed], len(allowed), CALIBRATION_SEED)
    return [allowed[k] for k in dealt]


def material(work: Work) -> Material:
    """What the job's step may look at: training images alone."""
    rows, stream, job = calibration_rows(work), work.stream, work.job

    def image(turn: int) -> Tensor:
        return work.prepared.take([rows[turn]], (CALIBRATION_SEED, 0, turn))[0]

    example = image(0)

    def images(at_most: int) -> list[Tensor]:
        fit = max(1, int(CALIBRATION_BYTES // example.nbytes))
        return [image(turn) for turn in range(min(at_most, len(rows), fit))]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return segmentation_loss(logits[: stream.labelled], labels[: stream.labelled], job.seg_loss).mean()

    def batches(count: int) -> list[tuple[Tensor, Tensor]]:
        return [stream.batch(0, k) for k in range(min(count, stream.steps))]

    return Material(example, images, batches, loss, architectures.stride(job.architecture), job.seed)


def calibration_facts(work: Work, images: int) -> dict[str, Any]:
    """Whose images were looked at, for the record."""
    patients = work.prepared.sample_patients
    rows = calibration_rows(work)[:images]
    return {"images": len(rows), "patients": sorted({patients[row] for row in rows})}
