"""``configs/metadata.json``, in the words of the MONAI Bundle specification.

https://docs.monai.io/en/stable/mb_specification.html
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import bench
from bench.using.card import WARNING
from bench.using.preprocessing import Preprocessing

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def metadata(
    description: dict[str, Any], made_for: Preprocessing, record: dict[str, Any], scores: dict[str, float]
) -> dict[str, Any]:
    """What the bundle says of itself to programs that know MONAI's.

    Args:
        description: ``inference.json``.
        made_for: what happens to an image.
        record: of the network's job.
        scores: the mean Dice by part.
    """
    own, data = description["network"], record["dataset"]
    reader = "nibabel" if made_for.of_volumes else "pillow"
    ct = any(channel.window is not None and channel.window[0] < 0 for channel in made_for.channels)
    names = ("background", *made_for.classes)
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by lightseg-bench {bench.__version__}"},
        "monai_version": _version("monai"),
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {name: _version(name) for name in (own["runtime"], reader)},
        "task": f"Segmentation of {', '.join(made_for.classes)}",
        "description": f"{description['label']}, in {own['runtime']}, {own['precision']}. {WARNING}",
        "authorship": "",
        "copyright": "see LICENSE",
        "data_source": data.get("note") or record["job"]["dataset"],
        "data_type": "nibabel" if made_for.of_volumes else "image",
        "image_classes": made_for.wanted,
        "label_classes": dict(zip(_values(made_for), names, strict=True)),
        "pred_classes": {str(number): name for number, name in enumerate(names)},
        "eval_metrics": {f"mean_dice_{part}": value for part, value in scores.items()},
        "intended_use": WARNING,
        "references": [],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield" if ct else "magnitude",
                    "modality": "CT" if ct else "n/a",
                    "num_channels": own["in_channels"],
                    **_tensor(own, made_for),
                    "channel_def": {str(k): f"channel {k}" for k in range(own["in_channels"])},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": own["out_channels"],
                    **_tensor(own, made_for),
                    "channel_def": {
                        str(k): name
                        for k, name in enumerate(names if own["out_channels"] > 1 else made_for.classes)
                    },
                }
            },
        },
    }


def _values(made_for: Preprocessing) -> list[str]:
    """Of the background and each class in the masks that it was trained on."""
    values = made_for.values or range(1, len(made_for.classes) + 1)
    return [str(value) for value in (0, *values)]


def _tensor(own: dict[str, Any], made_for: Preprocessing) -> dict[str, Any]:
    sides: Sequence[str] = [f"{own['stride']}*n"] * own["spatial_dims"]
    return {
        "spatial_shape": sides,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": made_for.of_volumes,
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
