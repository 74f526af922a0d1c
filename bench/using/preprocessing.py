"""What happens to an image before a network sees it and to its logits after, as data.

``predict`` follows it, and whoever ships a network writes it beside the network as JSON: nothing else is
needed to get the same masks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from bench.data.dataset import out_channels
from bench.errors import UserError
from bench.files.checked import check
from bench.job import Job
from bench.scoring.evaluation import OVERLAP
from methods.artefact import About

Number = Annotated[float, Field(ge=-1e18, le=1e18)]
Positive = Annotated[float, Field(gt=0, le=1e18)]
Value = Annotated[int, Field(ge=1, lt=2**53)]
Side = Annotated[int, Field(ge=1, le=2**16)]
RAS: Literal["RAS"] = "RAS"
THRESHOLD = 0.5
"""Of the sigmoid, as ``decisions`` in ``methods/outputs.py`` has it."""


@dataclass(frozen=True)
class Channel:
    """How the values of one channel are normalised: clipped to a window, then ``(x - mean) / std``.

    ``window`` None: not clipped. ``mean`` and ``std`` None: those of each volume itself.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    window: tuple[Number, Number] | None = None
    mean: Number | None = None
    std: Positive | None = None


@dataclass(frozen=True)
class Preprocessing:
    """From an image as it comes to what the network sees, and from logits to the mask.

    Attributes:
        channels: of every image, in their order.
        classes: names of the foreground classes; 0 is the background, then they follow.
        values: of each class in the files of masks that it was trained on; empty: 1, 2, … What is predicted
            is always numbered so.
        size: side of the square that 2-D images are resized to; None of volumes.
        resize: how: ``bilinear`` with antialiasing for images, ``trilinear`` for volumes.
        orientation: ``RAS`` of volumes (axes run right, front, head); empty: images upright, as their EXIF
            orientation says, rows first.
        spacing: mm between voxels along each axis of what the network sees; empty: images, whatever theirs.
        patch: sides of the windows that volumes are seen in; two sides mean axial slices, one by one;
            empty: images are seen whole.
        overlap: the part of a window that the next one covers too.
        blending: what overlapping windows count by.
        threshold: of the sigmoid where there is one class; with several the largest logit decides.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    channels: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=64)]
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=255)]
    size: Side | None = None
    resize: Literal["bilinear", "trilinear"] = "bilinear"
    orientation: Literal["", "RAS"] = ""
    spacing: tuple[Positive, ...] = ()
    patch: Annotated[tuple[Side, ...], Field(max_length=3)] = ()
    overlap: Annotated[float, Field(ge=0, lt=1)] = OVERLAP
    blending: Literal["gaussian"] = "gaussian"
    threshold: Annotated[float, Field(gt=0, lt=1)] = THRESHOLD
    values: Annotated[tuple[Value, ...], Field(max_length=255)] = ()

    @property
    def of_volumes(self) -> bool:
        """Whether it is made for volumes, not for 2-D images."""
        return bool(self.patch)

    @property
    def sides(self) -> tuple[int, ...]:
        """Of what the network sees, along each of its dimensions."""
        return self.patch or (self.size or 0,) * 2

    @property
    def out_channels(self) -> int:
        """Channels of the logits."""
        return out_channels(self.classes)

    @property
    def sliced(self) -> bool:
        """Whether a 2-D network sees the axial slices of volumes."""
        return len(self.patch) == 2

    @property
    def wanted(self) -> str:
        """What the network was made for, in words."""
        count = len(self.channels)
        if self.of_volumes:
            each = "in one channel" if count == 1 else f"in {count} channels"
            return f"3-D volumes {each} (NIfTI or a DICOM series)"
        kind = "grey" if count == 1 else "RGB" if count == 3 else f"{count}-channel"
        return f"2-D {kind} images (PNG, TIFF, JPEG, ...)"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; as earlier versions wrote it, without ``values``, where these are the usual ones."""
        content = dataclasses.asdict(self)
        if not self.values:
            del content["values"]
        return content

    @classmethod
    def from_dict(cls, content: Any, where: object) -> Preprocessing:
        """The inverse of ``as_dict``, checked.

        Raises:
            UserError: an unknown key, a value of another type, or sides that do not fit each other.
        """
        found: Preprocessing = check(cls, content, where)
        dims = len(found.spacing)
        if found.of_volumes != (dims == 3) or found.of_volumes == (found.size is not None):
            raise UserError(
                f"{where}: must have a size (of images), or a patch and a spacing of three axes"
            )
        rising = sorted(set(found.values))
        if found.values and (len(rising) != len(found.classes) or rising != list(found.values)):
            raise UserError(f"{where}: values must be one for each class, rising, not {found.values}")
        if (found.overlap, found.threshold) != (OVERLAP, THRESHOLD):
            raise UserError(
                f"{where}: has overlap {found.overlap:g} and threshold {found.threshold:g}; this version "
                f"computes with {OVERLAP:g} and {THRESHOLD:g} alone"
            )
        return found

    @classmethod
    def of(cls, made: Job | About, facts: Mapping[str, Any]) -> Preprocessing:
        """Of a job's network, or an artefact; the one place that knows how records say it.

        Args:
            made: the job, or what the artefact says of itself.
            facts: of the data that it was trained on, as a record keeps them under ``dataset``.
        """
        classes = tuple(facts.get("classes") or ("foreground",) * max(1, made.out_channels - 1))
        values = tuple(facts.get("values") or ())
        if "patch" in facts:
            rows = facts["normalisation"]
            return cls(
                channels=tuple(Channel() if row == "per volume" else _of_ct(row) for row in rows),
                classes=classes,
                resize="trilinear",
                orientation=RAS,
                spacing=tuple(facts["spacing_mm"]),
                patch=tuple(facts["patch"]),
                values=values,
            )
        window = tuple(facts["window"]) if "window" in facts else None
        own = zip(facts["mean"], facts["std"], strict=True)
        channels = tuple(Channel(window, mean, std) for mean, std in own)
        return cls(channels=channels, classes=classes, size=made.image_size, values=values)


def _of_ct(row: dict[str, float]) -> Channel:
    return Channel((row["low"], row["high"]), row["mean"], row["std"])
