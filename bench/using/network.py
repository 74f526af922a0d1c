"""The network that predicts, and all that is known of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from bench import plugins
from bench.compute.cores import usable_cores
from bench.errors import UserError
from bench.files.atomic import plain
from bench.files.checksums import checksum, digest
from bench.study.store import Study, not_done, not_here
from bench.training.artefacts import fault_here, open_artefact
from bench.training.job_parts import load_artefact
from bench.using.preprocessing import Preprocessing
from methods.artefact import Artefact


@dataclass(frozen=True)
class Network:
    """A finished network, ready for images as they come.

    Attributes:
        label: for people: architecture, method, seed or fold.
        weights: SHA-256 of its file.
        synthetic: whether it was trained on generated images.
    """

    label: str
    artefact: Artefact
    made_for: Preprocessing
    weights: str
    synthetic: bool = False

    @property
    def identity(self) -> str:
        """Changes whenever its masks might: a hash of weights and preprocessing."""
        return digest(self.weights, json.dumps(self.made_for.as_dict(), sort_keys=True))


def of_study(study: Study, job_id: str) -> Network:
    """The finished network of a job, on the processor.

    Raises:
        UserError: the job is not done, or its weights are not here.
    """
    record = study.record(job_id)
    if record is None or record["status"] != "done":
        raise UserError(not_done(study, job_id))
    job = study.job(job_id)
    if any(("architecture", job.architecture) in plugin.brings for plugin in plugins.LOADED.values()):
        plugins.require(job, study.plugins())  # one that has changed may compute something else
    try:
        artefact = load_artefact(study, job)
    except UserError:
        plugins.require(job, study.plugins())  # says which one, where one is missing
        raise
    if artefact is None:
        raise UserError(not_here(study, "weights", job_id))
    facts = record["dataset"]
    weights = checksum(study.path("weights", job_id))
    return Network(job.label, artefact, Preprocessing.of(job, facts), weights, facts["synthetic"])


def of_file(path: Path) -> Network:
    """The network in a file of weights, by what the file says of itself.

    Raises:
        UserError: no artefact, or one that does not say what it was made for.
    """
    try:
        artefact = open_artefact(path)
    except ValueError as error:
        raise UserError(str(error)) from None
    about = artefact.about
    if about is None or not about.data:
        raise UserError(f"{path}: does not say how images are prepared for it; name it as STUDY:ID")
    try:
        made_for = Preprocessing.of(about, {**about.data, "classes": about.classes})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: what it says of its images is not of this version") from None
    checked = Preprocessing.from_dict(plain(made_for.as_dict()), path)
    return Network(f"{about.architecture} of {path.name}", artefact, checked, checksum(path))


def check_runs(network: Network) -> None:
    """Open it, so that what can't be run is said once, not of each image.

    Raises:
        UserError: its runtime is not installed, or this processor would compute something else.
    """
    if fault := fault_here(network.artefact):
        raise UserError(f"{network.label}: {fault}")


def on_threads(artefact: Artefact, threads: int | None) -> int:
    """Let it compute on so many threads; None: on all cores that this process may use. How many it is."""
    count = usable_cores() if threads is None else threads
    torch.set_num_threads(count)
    artefact.set_threads(count)  # its runtime may have a pool of its own, sized by all cores of the machine
    return count
