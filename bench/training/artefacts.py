"""Artefacts as files: opened from what they say of themselves, or, if they say nothing, from their job."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

import architectures
import methods
from bench.data.prepared import Prepared
from bench.job import Job
from methods.artefact import About, Artefact, GraphArtefact, TorchArtefact, read_about


def about_of(job: Job, prepared: Prepared | None = None) -> About:
    """What a job's training makes; with ``prepared`` also how images are made ready for it."""
    return About(
        architecture=job.architecture,
        spatial_dims=job.spatial_dims,
        in_channels=job.in_channels,
        out_channels=job.out_channels,
        image_size=job.image_size,
        patch=job.patch,
        slices=job.slices,
        classes=() if prepared is None else tuple(prepared.dataset.classes),
        data={} if prepared is None else prepared.facts(),
    )


def fresh_network(about: About) -> nn.Module:
    """The torch network that ``about`` describes, with fresh weights.

    Raises:
        ValueError: no such network here, or a shape that can't be.
    """
    sizes = (about.spatial_dims, about.in_channels, about.out_channels)
    return architectures.build(about.architecture, *sizes, shape=about.shape)


def fault_here(artefact: Artefact) -> str:
    """Why this machine can't run it: no runtime, no processor whose sums are exact; empty where it can."""
    if isinstance(artefact, GraphArtefact):
        try:
            artefact.open()
        except ValueError as error:
            return str(error)
    return ""


def _check_sizes(path: Path, about: About) -> None:
    """Refuse a network that the file doesn't hold before it is built: a wrong name could fill memory."""
    try:
        with torch.device("meta"):
            expected = {name: list(v.shape) for name, v in fresh_network(about).state_dict().items()}
    except (NotImplementedError, RuntimeError):  # few networks can't be built so
        return
    with safe_open(str(path), framework="pt") as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    wrong = [name for name, shape in found.items() if expected.get(name) != shape]
    if wrong:
        raise ValueError(
            f"{path}: not a safetensors file with the network's weights ({about.architecture} has no "
            f"{wrong[0]} of {found[wrong[0]]})"
        )


def open_artefact(path: Path, otherwise: About | None = None) -> Artefact:
    """The artefact in a file, on the processor; nothing outside of it is needed.

    Args:
        path: the file.
        otherwise: what it is where the file doesn't say, as those of earlier versions.

    Raises:
        ValueError: no artefact, a damaged one, one of another version, or of a step or network that is not
            here.
    """
    about = read_about(path) or otherwise
    if about is None:
        raise ValueError(f"{path}: does not say which network it holds; it was made by an earlier version")
    if not about.step:
        try:
            _check_sizes(path, about)
            return TorchArtefact.load(lambda: fresh_network(about), path, about)
        except (KeyError, TypeError, ValueError) as error:
            said = str(error) if isinstance(error, ValueError) else repr(error)
            raise ValueError(said if str(path) in said else f"{path}: {said}") from None
    step = methods.METHODS.get(about.step)
    if step is None or not issubclass(step, methods.Convert):
        raise ValueError(
            f"{path}: was made by the step {about.step!r}, which is not here; name its --plugin"
        )
    return GraphArtefact.load(path, about, step.open)
