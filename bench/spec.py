"""A job as a value: everything that decides its result, and the id that is a hash of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.data.dataset import digest
from bench.protocol import BATCH_SIZE, PROTOCOL_VERSION

Parameter = tuple[str, str | float | int | None]
LATER = ("checkpoint", "patch", "slices", "micro_batch", "checkpointing")
"""Fields of jobs that the first records did not have."""


def places(threads: int, settings: Mapping[str, Any]) -> int:
    """How many of a study's ``workers`` places a job of so many threads takes."""
    each, workers = int(settings.get("threads", threads)), int(settings.get("workers", 1))
    return min(workers, max(1, threads // each))


@dataclass(frozen=True)
class Job:
    """One cell of the matrix with one seed.

    ``data`` and ``split`` are fingerprints; ``parameters`` are the method's, defaults filled in;
    ``teachers`` are the ids of the jobs whose networks teach.
    """

    dataset: str
    data: str
    split: str
    spatial_dims: int
    in_channels: int
    out_channels: int
    image_size: int
    architecture: str
    method: str
    parameters: tuple[Parameter, ...]
    seg_loss: str
    seed: int
    teachers: tuple[str, ...]
    threads: int
    precision: str
    compiled: bool
    protocol: int = PROTOCOL_VERSION
    checkpoint: str = ""
    """Checksum of weights that the user gave (``--teacher``); nothing is trained then."""
    patch: tuple[int, ...] = ()
    """Sides of what networks see of a volume; empty: images of ``image_size`` a side."""
    slices: str = ""
    """``axial``: a 2-D network sees the axial slices of volumes, which are stacked back for scoring."""

    micro_batch: int = BATCH_SIZE
    """Samples in memory at a time; gradients of a batch are added up (``--micro-batch``)."""
    checkpointing: bool = False
    """Whether block outputs are computed again for gradients instead of kept."""

    @property
    def id(self) -> str:
        """A hash of all fields; ``LATER`` ones count only where they are not the default."""
        values = dataclasses.asdict(self)
        for field in dataclasses.fields(self):
            if field.name in LATER and values[field.name] == field.default:
                del values[field.name]
        return digest(json.dumps(values, sort_keys=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of what the network sees."""
        return self.patch or (self.image_size,) * self.spatial_dims

    @property
    def label(self) -> str:
        """For people: architecture, method, seed and what is not default."""
        loss = "" if self.seg_loss == "dice-bce" else f" {self.seg_loss}"
        given = " (given)" if self.checkpoint else ""
        slices = f" {self.slices} slices" if self.slices else ""
        return f"{self.architecture}:{self.method}{loss}{given}{slices} seed {self.seed}"

    @property
    def variant(self) -> str:
        """The loss variant that runs; empty for methods without one."""
        return str(dict(self.parameters).get("variant") or "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "parameters": dict(self.parameters)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """The inverse of ``as_dict``.

        Raises:
            TypeError, KeyError: fields missing or unknown.
        """
        return cls(
            **{
                **values,
                "parameters": tuple(sorted(values["parameters"].items())),
                "teachers": tuple(values["teachers"]),
                "patch": tuple(values.get("patch", ())),
            }
        )


def spec(job: Job) -> str:
    """The job's method as ``methods.build`` reads it."""
    values = ",".join(f"{key}={value}" for key, value in job.parameters if value is not None)
    return f"{job.method}[{values}]" if values else job.method
