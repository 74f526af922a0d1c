"""Scores per case, on the native grid, against the mask as it came. Always in fp32.

Conventions (docs/protocol.md): both masks empty: NaN, counted; one empty: Dice 0, NSD 0, HD95 the
image's diagonal; precision without a prediction, and sensitivity without an object: 0 and NaN. What is
found where there is nothing is measured as well (``false_alarms``).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data.prepared import Scored
from bench.study.predictions import Labels
from methods.artefact import TorchArtefact
from methods.outputs import decisions

BATCH, CPU_BATCH = 16, 4
"""Images at a time. On a processor few: their activations stay in its caches between layers."""
NSD_TOLERANCE = 1.0
"""In pixels (2-D without spacing) or millimetres."""
MOST_OF_TORCH = 2**24
"""Values that ``torch.quantile`` takes; a noisy prediction of a large volume has more surface."""
OVERLAP = 0.5
NO_MEASURES = ("case", "patient", "organ_size")
"""Keys of a case's row that are no scores."""


def predict_masks(
    predict: Callable[[Tensor], Tensor], part: Scored, device: torch.device | str
) -> list[Labels]:
    """Class indices per case on its native grid: logits are resized, then decided."""
    masks: list[Labels] = []
    if part.patch:
        for image, truth in zip(part.images, part.masks, strict=True):
            logits = predict_volume(predict, image.to(device), part.patch).float().cpu()
            masks.append(decide(logits, truth.shape)[0])
        return masks
    assert isinstance(part.images, Tensor)
    size = _batch(device)
    for start in range(0, len(part.cases), size):
        logits = predict(part.images[start : start + size].to(device)).float().cpu()
        for offset in range(len(logits)):
            native = part.masks[start + offset].shape
            masks.append(decide(logits[offset : offset + 1], native)[0])
    return masks


def predict_volume(predict: Callable[[Tensor], Tensor], image: Tensor, patch: Sequence[int]) -> Tensor:
    """Logits ``(1, out_channels, *spatial)`` of a whole volume ``(C, *spatial)``, window by window.

    Windows of ``patch`` overlap by half and count by a Gaussian of the distance to their centre
    (nnU-Net's way); a smaller volume is padded by zeros. A patch of two sides means 2-D networks: every
    slice along the last axis is predicted, and the slices are stacked back.
    """
    from monai.inferers.utils import sliding_window_inference

    sliced = len(patch) == image.ndim - 2
    x = image.movedim(-1, 0) if sliced else image[None]
    with torch.inference_mode():
        logits: Tensor = sliding_window_inference(
            x, tuple(patch), _batch(x.device) if sliced else 1, predict, overlap=OVERLAP, mode="gaussian"
        )
    return logits.movedim(0, -1)[None] if sliced else logits


def _batch(device: torch.device | str) -> int:
    return CPU_BATCH if torch.device(device).type == "cpu" else BATCH


def decide(logits: Tensor, size: Sequence[int]) -> Labels:
    """Logits ``(N, C, *spatial)`` to class indices ``(N, *size)``, resized before they are decided."""
    if tuple(logits.shape[2:]) != tuple(size):
        mode = "bilinear" if logits.ndim == 4 else "trilinear"
        logits = F.interpolate(logits, tuple(size), mode=mode, align_corners=False)
    return decisions(logits).numpy()


def overlap_scores(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, float]:
    """Dice, precision and sensitivity of two boolean masks of one shape."""
    both = int(np.count_nonzero(predicted & truth))
    found, there = int(np.count_nonzero(predicted)), int(np.count_nonzero(truth))
    if not found and not there:
        return {"dice": math.nan, "precision": math.nan, "sensitivity": math.nan}
    return {
        "dice": 2 * both / (found + there),
        "precision": both / found if found else 0.0,
        "sensitivity": both / there if there else math.nan,
    }


def surface_scores(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: Sequence[float]
) -> dict[str, float]:
    """HD95 and normalised surface distance of two boolean masks, in the unit of ``spacing``.

    A volume of one slice is scored as the slice: in three dimensions each of its voxels would be surface.
    """
    from monai.metrics.utils import get_edge_surface_distance

    thick = [axis for axis, side in enumerate(truth.shape) if side > 1]
    if len(thick) == 2:
        thin = tuple(axis for axis in range(truth.ndim) if axis not in thick)
        predicted, truth = predicted.squeeze(thin), truth.squeeze(thin)
        spacing = [spacing[axis] for axis in thick]
    steps = [float(step) for step in spacing]  # MONAI knows no numbers of NumPy's
    if not predicted.any() and not truth.any():
        return {"hd95": math.nan, "nsd": math.nan}
    if not predicted.any() or not truth.any():
        sides = [side * step for side, step in zip(truth.shape, steps, strict=True)]
        return {"hd95": math.hypot(*sides), "nsd": 0.0}
    p, t = torch.from_numpy(predicted), torch.from_numpy(truth)
    warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
    _, distances, _ = get_edge_surface_distance(p, t, spacing=steps, symmetric=True)
    both = torch.cat(distances)
    return {
        "hd95": max(_percentile_95(directed) for directed in distances),
        "nsd": float((both <= NSD_TOLERANCE).sum() / len(both)),
    }


def _percentile_95(distances: Tensor) -> float:
    """As MONAI's Hausdorff distance takes it, and of any number of distances, which torch refuses."""
    if len(distances) <= MOST_OF_TORCH:
        return float(torch.quantile(distances, 0.95))
    return float(np.percentile(distances.numpy(), 95))


def score_case(
    predicted: Labels,
    truth: Labels,
    classes: Sequence[str],
    surface: bool,
    spacing: Sequence[float] | None = None,
) -> dict[str, float]:
    """All measures of one case: the mean over classes, and each class where there are several.

    Distances are in the unit of ``spacing``, in pixels without one. A case without any object has
    ``false_alarms`` as well.
    """
    rows: list[dict[str, float]] = []
    for label in range(1, len(classes) + 1):
        p, t = predicted == label, truth == label
        row = overlap_scores(p, t)
        if surface:
            row |= surface_scores(p, t, (1.0,) * truth.ndim if spacing is None else spacing)
        rows.append(row)
    scores = {measure: nan_mean(row[measure] for row in rows) for measure in rows[0]}
    if len(classes) > 1:
        for name, row in zip(classes, rows, strict=True):
            scores |= {f"{measure}_{name}": value for measure, value in row.items()}
    return scores if truth.any() else scores | false_alarms(predicted, spacing)


def false_alarms(predicted: Labels, spacing: Sequence[float] | None = None) -> dict[str, float]:
    """What was found, of whatever class, in a case that holds nothing.

    ``false_positive_area`` is in the unit of ``spacing``, squared (of a volume cubed), in pixels without
    one; ``false_positive_share`` is its part of the image.
    """
    found = int(np.count_nonzero(predicted))
    return {
        "false_positive_area": found * math.prod((1.0,) if spacing is None else map(float, spacing)),
        "false_positive_share": found / predicted.size,
    }


def score_part(
    masks: Sequence[Labels], part: Scored, classes: Sequence[str], surface: bool = True
) -> list[dict[str, Any]]:
    """One row a case: ``case``, ``patient``, ``organ_size`` (pixels of the true mask) and the measures."""
    spacing = part.spacing or (None,) * len(part.cases)
    cases = zip(part.cases, part.patients, masks, part.masks, spacing, strict=True)
    return [
        {
            "case": case,
            "patient": patient,
            "organ_size": int(np.count_nonzero(truth)),
            **score_case(mask, truth, classes, surface, step),
        }
        for case, patient, mask, truth, step in cases
    ]


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Rows of cases to one row: every measure is the mean over patients of the patient's mean.

    ``dice_slice`` is the plain mean over cases, as in the report; ``empty_cases`` counts those where
    mask and prediction are both empty.
    """
    patients: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        patients.setdefault(row["patient"], []).append(row)
    measures = dict.fromkeys(key for row in rows for key in row if key not in NO_MEASURES)
    means = {
        measure: nan_mean(nan_mean(row.get(measure, math.nan) for row in own) for own in patients.values())
        for measure in measures
    }
    return {
        **means,
        "dice_slice": nan_mean(row["dice"] for row in rows),
        "empty_cases": sum(math.isnan(row["dice"]) for row in rows),
        "cases": len(rows),
        "patients": len(patients),
    }


def nan_mean(values: Iterable[float]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def validation_dice(model: nn.Module, part: Scored, classes: Sequence[str], device: torch.device) -> float:
    """Mean over patients of the mean over cases of the mean over classes; what selects the epoch."""
    artefact = TorchArtefact(copy.deepcopy(model))  # training goes on in its own layout
    masks = predict_masks(artefact.predict, part, device)
    return summarise(score_part(masks, part, classes, surface=False))["dice"]
