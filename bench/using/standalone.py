"""Masks of images, by the network in this folder: ``python predict.py INPUT... -o OUT``.

Needs NumPy, the runtime that configs/inference.json names (onnxruntime or openvino), and Pillow for images
or nibabel for volumes; nothing else. What happens to an image before and after the network is data in the
same file. Research only: not a medical device.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ABOUT = HERE / "configs" / "inference.json"
COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0))
UNITS = {1: 1000.0, 3: 0.001}
"""Of a NIfTI header, to millimetres; others are taken for those."""

# Both runtimes report their use to an analytics service unless they are told not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

Network = Callable[[np.ndarray], np.ndarray]


def open_network(about: dict[str, Any], threads: int) -> Network:
    """What turns normalised images ``(N, C, *sides)``, float32, into logits."""
    exact = ("vnni", "amx_int8")
    if about["precision"] == "int8" and not about["overflow_fix"] and platform.machine() == "x86_64":
        flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else "vnni"
        if not any(name in flags for name in exact):
            raise SystemExit("error: this INT8 network needs a processor with VNNI; sums would be cut off")
    if about["runtime"] == "openvino":
        import openvino

        wish = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        model = openvino.Core().compile_model(str(HERE / "models" / "model.xml"), "CPU", wish)
        return lambda x: np.array(model([x])[0])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        str(HERE / "models" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: np.asarray(session.run(["logits"], {"images": x})[0])


def stretch(x: np.ndarray, sides: Sequence[int]) -> np.ndarray:
    """``(C, *old)`` to ``(C, *sides)``: linear, centres of pixels in line, edges repeated."""
    for axis, side in enumerate(sides, start=1):
        old = x.shape[axis]
        if old != side:
            at = ((np.arange(side) + 0.5) * old / side - 0.5).clip(0, old - 1)
            low = at.astype(int)
            part = (at - low).astype(np.float32).reshape(-1, *[1] * (x.ndim - 1 - axis))
            high = np.minimum(low + 1, old - 1)
            x = np.take(x, low, axis) * (1 - part) + np.take(x, high, axis) * part
    return x


def in_windows(network: Network, x: np.ndarray, patch: Sequence[int], overlap: float) -> np.ndarray:
    """Logits of an image ``(C, *sides)`` in overlapping windows that count by a Gaussian; zeros around."""
    if len(patch) < x.ndim - 1:  # axial slices, one by one
        slices = [in_windows(network, x[..., z], patch, overlap) for z in range(x.shape[-1])]
        return np.stack(slices, axis=-1)
    sides = x.shape[1:]
    short = [max(window - side, 0) // 2 for window, side in zip(patch, sides, strict=True)]
    rest = [max(w - side, 0) - s for w, side, s in zip(patch, sides, short, strict=True)]
    x = np.pad(x, [(0, 0), *zip(short, rest, strict=True)])
    starts, weight = [], np.ones((), np.float32)
    for side, window in zip(x.shape[1:], patch, strict=True):
        step = max(1, int(window * (1 - overlap)))
        starts.append([min(start, side - window) for start in range(0, side - window + step, step)])
        away = np.arange(window, dtype=np.float32) - (window - 1) / 2
        weight = weight[..., None] * np.exp(-(away**2) / (2 * (0.125 * window) ** 2)).astype(np.float32)
    weight = weight.clip(max(float(weight.min()), 1e-3))
    total, count = np.zeros((1, *x.shape[1:]), np.float32), np.zeros(x.shape[1:], np.float32)
    for corner in itertools.product(*starts):
        where = tuple(slice(start, start + window) for start, window in zip(corner, patch, strict=True))
        found = network(np.ascontiguousarray(x[(slice(None), *where)])[None])[0]
        total = total if len(total) == len(found) else np.repeat(total, len(found), axis=0)
        total[(slice(None), *where)] += found * weight
        count[where] += weight
    inside = tuple(slice(s, s + side) for s, side in zip(short, sides, strict=True))
    return (total / count)[(slice(None), *inside)]


def normalise(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> np.ndarray:
    """Each channel by its mean and standard deviation, or where they are null by its own."""
    rows = []
    for values, known in zip(x, channels, strict=True):
        mean = values.mean(dtype=np.float64) if known["mean"] is None else known["mean"]
        std = max(values.std(dtype=np.float64), 1e-6) if known["std"] is None else known["std"]
        rows.append((values - np.float32(mean)) / np.float32(std))
    return np.stack(rows)


def clip(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> np.ndarray:
    """Each channel to its window, where it has one."""
    pairs = zip(x, channels, strict=True)
    return np.stack([v.clip(*known["window"]) if known["window"] else v for v, known in pairs])


def check(x: np.ndarray, channels: Sequence[dict[str, Any]]) -> None:
    """Refuse what the network was not made for."""
    if not np.isfinite(x).all():
        raise ValueError("holds NaN or infinite values; all must be finite")
    for values, known in zip(x, channels, strict=True):
        low, _ = known["window"] or (0, 0)
        if low < 0 <= values.min() < values.max():
            raise ValueError("holds no value below 0; the network was made for Hounsfield units")


def decide(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Logits ``(K, *sides)`` to numbers of classes; 0 is the background."""
    if len(logits) == 1:
        return (logits[0] > math.log(threshold / (1 - threshold))).astype(np.uint8)
    return logits.argmax(axis=0).astype(np.uint8)


def predict_image(network: Network, how: dict[str, Any], path: Path, out: Path) -> None:
    """An image file to a mask as PNG: 0 and 255, or numbers of classes with a palette."""
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        pages = getattr(opened, "n_frames", 1)
        if pages > 1 and opened.format != "MPO":
            raise ValueError(f"holds {pages} pages; a file must hold one image")
        image = ImageOps.exif_transpose(opened)
    image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
    x = np.asarray(image, np.float32)
    wanted = len(how["channels"])
    if x.ndim == 3 and wanted == 1 and x.shape[2] == 3 and (x == x[..., :1]).all():
        x = x[..., 0]
    x = x[None] if x.ndim == 2 else np.moveaxis(x, -1, 0)
    if len(x) != wanted or image.mode in ("LA", "RGBA", "CMYK"):
        raise ValueError(f"has pixels of the kind {image.mode}; the network needs {wanted} channel(s)")
    check(x, how["channels"])
    size = (how["size"], how["size"])
    small = [  # Pillow's BILINEAR is antialiased where it makes smaller, just as torch's antialias=True
        np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
        for values in clip(x, how["channels"])
    ]
    logits = network(normalise(np.stack(small), how["channels"])[None])[0]
    mask = decide(stretch(logits, x.shape[1:]), how["threshold"])
    several = len(how["classes"]) > 1
    picture = Image.fromarray(mask if several else mask * np.uint8(255))
    if several:
        picture.putpalette([v for k in range(256) for v in COLOURS[(k - 1) % 5 + 1 if k else 0]])
    picture.save(out)


def predict_volume(network: Network, how: dict[str, Any], path: Path, out: Path) -> None:
    """A NIfTI volume to a mask on the same grid."""
    import nibabel as nib

    image: Any = nib.load(path)
    header, channels = image.header, how["channels"]
    if not header["sform_code"] and not header["qform_code"]:
        raise ValueError("has no affine (sform_code and qform_code are 0): its orientation is unknown")
    x = np.asarray(image.dataobj, np.float32)
    x = x.reshape(*x.shape[:3], *(side for side in x.shape[3:] if side > 1))
    if x.shape[3:] != ((len(channels),) if len(channels) > 1 else ()):
        raise ValueError(f"has the shape {x.shape}; the network needs {len(channels)} channel(s)")
    turn = nib.io_orientation(image.affine)
    x = nib.apply_orientation(x, turn)  # axes run right, front, head now
    x = x[None] if x.ndim == 3 else np.moveaxis(x, -1, 0)
    check(x, channels)
    steps = np.linalg.norm(image.affine[:3, :3], axis=0)[turn[:, 0].argsort()]
    steps = steps * UNITS.get(int(header["xyzt_units"]) & 7, 1.0)
    grid = [
        side if math.isclose(own, wanted, rel_tol=1e-3) else max(1, round(side * own / wanted))
        for side, own, wanted in zip(x.shape[1:], steps.round(6), how["spacing"], strict=True)
    ]
    small = stretch(x, grid)
    ready = normalise(clip(small, channels), channels)
    logits = stretch(in_windows(network, ready, how["patch"], how["overlap"]), x.shape[1:])
    mask = decide(logits, how["threshold"])
    back = nib.orientations.ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), turn)
    found = nib.Nifti1Image(nib.apply_orientation(mask, back), image.affine)
    for form in ("qform", "sform"):
        code = int(header[f"{form}_code"])
        getattr(found, f"set_{form}")(getattr(image, f"get_{form}")() if code else None, code)
    found.header.set_xyzt_units(int(header["xyzt_units"]) & 7)
    nib.save(found, out)


def main() -> int:
    """Predict every input; those that can't be are named, and make the exit code 1."""
    parser = argparse.ArgumentParser(description="Masks of images. Research only: not a medical device.")
    parser.add_argument("inputs", nargs="+", type=Path, help="images or NIfTI volumes")
    parser.add_argument("-o", "--out", required=True, type=Path, help="the folder for masks")
    parser.add_argument("--threads", type=int, help="default: all cores that the process may use")
    parser.add_argument("--overwrite", action="store_true")
    asked = parser.parse_args()
    about = json.loads(ABOUT.read_text(encoding="utf-8"))
    how = about["preprocessing"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    network = open_network(about["network"], asked.threads or cores or 1)
    predict, ending = (predict_volume, ".nii.gz") if how["patch"] else (predict_image, ".png")
    asked.out.mkdir(parents=True, exist_ok=True)
    failed, written = 0, set()
    for path in asked.inputs:
        target = asked.out / (Path(path.name.removesuffix(".gz")).stem + ending)
        try:
            mine = target in written or (target.exists() and target.samefile(path))
            if mine or (target.exists() and not asked.overwrite):
                raise ValueError(f"{target} is there already")
            half = target.with_name(f".{target.name.partition('.')[0]}.half{ending}")
            predict(network, how, path, half)
            half.replace(target)  # so that a mask is whole, or not there
            written.add(target)
        except Exception as error:  # whatever one file does to a library must not end the others
            failed += 1
            print(f"failed: {path}: {' '.join(str(error).split())}", file=sys.stderr)
    print(f"{len(asked.inputs) - failed} of {len(asked.inputs)} masks in {asked.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
