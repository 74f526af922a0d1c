"""One input to its mask: read, checked, predicted, in memory or in blocks."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import UserError
from bench.study.predictions import Labels, largest_slice
from bench.using import blocks, fits
from bench.using.inputs import Input
from bench.using.network import Network
from bench.using.pictures import open_picture
from bench.using.prediction import predict_array
from bench.using.preprocessing import Preprocessing
from bench.using.volumes import Volume, open_series, open_volume, unpacked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A case that is predicted.

    ``picture`` and ``tinted`` are for the overlay: the image, or of a volume one slice, and its mask.
    """

    mask: Labels
    volume: Volume | None
    spacing: tuple[float, ...]
    picture: NDArray[np.generic]
    tinted: Labels


def predict_case(
    network: Network, one: Input, device: torch.device, budget: int, scratch: Path, affine: str = ""
) -> Found:
    """The mask of a case.

    Args:
        network: on ``device``.
        budget: bytes that a volume may take; larger ones are predicted in blocks.
        scratch: a folder that may be made, for what such a volume leaves on the disk meanwhile.
        affine: ``sform`` or ``qform``, which counts where the header of a volume contradicts itself.

    Raises:
        UserError: an input that can't be read, or that the network was not made for.
    """
    if one.fault:
        raise UserError(one.fault)
    made_for, artefact = network.made_for, network.artefact
    channels = len(made_for.channels)
    if (one.kind in ("volume", "series")) != made_for.of_volumes:
        kind = "a 2-D image" if made_for.of_volumes else "a volume"
        raise UserError(f"{one.shown}: is {kind}; the network was made for {made_for.wanted}")
    if not made_for.of_volumes:
        image, steps = open_picture(one.paths[0], one.kind, channels)
        _check(image, made_for, one)
        mask = predict_array(artefact.predict, made_for, image, None, device)
        return Found(mask, None, steps, image, mask)
    series = one.kind == "series"
    volume = open_series(one.paths, channels) if series else open_volume(one.paths, channels, affine)
    for text in dict.fromkeys(text for image in volume.images for text in image.odd):
        log.warning(f"{one.shown}: {text}")
    spacing = volume.spacing
    if blocks.bytes_whole(volume, made_for) <= budget:
        whole = volume.whole()
        _check(whole, made_for, one)
        mask = predict_array(artefact.predict, made_for, whole, spacing, device)
        shown = largest_slice(mask)
        return Found(mask, volume, spacing, whole[..., shown], mask[..., shown])
    scratch.mkdir(parents=True, exist_ok=True)
    paged = unpacked(volume, scratch)
    middle = volume.shape[2] // 2
    _check(paged.planes(2, middle, middle + 1), made_for, one)
    cut = blocks.plan(paged, made_for, budget)
    log.info(f"{one.shown}: in {math.ceil(volume.shape[cut.axis] / cut.step)} blocks, for memory is short")
    mask = blocks.predict_in_blocks(artefact.predict, made_for, paged, cut, scratch, device)
    shown = largest_slice(mask)
    return Found(mask, volume, spacing, paged.planes(2, shown, shown + 1)[..., 0], mask[..., shown])


def _check(image: NDArray[np.generic], made_for: Preprocessing, one: Input) -> None:
    fault = fits.fault(image, made_for)
    if fault:
        raise UserError(f"{one.shown}: {fault}")


def reason_of(error: Exception, one: Input) -> str:
    """Why a case has no mask, in a line that names its file."""
    if isinstance(error, UserError):
        named = any(str(path) in str(error) for path in one.paths)
        return str(error) if named else f"{one.shown}: {error}"
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return f"{one.shown}: not enough memory; --memory-gb lets large volumes be predicted in blocks"
    return str(UserError(f"{one.shown}: {type(error).__name__}: {error}"))
