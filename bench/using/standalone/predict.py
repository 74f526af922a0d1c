"""Masks of images, by the network in this folder: ``python predict.py INPUT... -o OUT``.

Needs NumPy, the runtime that configs/inference.json names (onnxruntime or openvino), and Pillow for images
or nibabel for volumes; nothing else. What happens to an image before and after the network is data in the
same file, and done in scripts/. Research only: not a medical device.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

# Both runtimes report their use to an analytics service unless they are told not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def open_network(about: dict[str, Any], threads: int) -> Callable[[np.ndarray], np.ndarray]:
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
    options.add_session_config_entry("session.force_spinning_stop", "1")  # leaves cores to others
    session = onnxruntime.InferenceSession(
        str(HERE / "models" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: np.asarray(session.run(["logits"], {"images": x})[0])


def files_of(folder: Path) -> list[Path]:
    """The files in a folder, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def main() -> int:
    """Predict every input; those that can't be are named, and make the exit code 1."""
    parser = argparse.ArgumentParser(description="Masks of images. Research only: not a medical device.")
    parser.add_argument("inputs", nargs="+", type=Path, help="images, NIfTI volumes, or folders of them")
    parser.add_argument("-o", "--out", required=True, type=Path, help="the folder for masks")
    parser.add_argument("--threads", type=int, help="default: all cores that the process may use")
    parser.add_argument("--overwrite", action="store_true")
    asked = parser.parse_args()
    about = json.loads((HERE / "configs" / "inference.json").read_text(encoding="utf-8"))
    how = about["preprocessing"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        kind = import_module(f"scripts.{'volumes' if how['patch'] else 'images'}")
        network = open_network(about["network"], asked.threads or cores or 1)
    except ModuleNotFoundError as lacking:
        raise SystemExit(f"error: {lacking.name} is missing; docs/README.md says what to install") from None
    paths = [path for given in asked.inputs for path in (files_of(given) if given.is_dir() else [given])]
    asked.out.mkdir(parents=True, exist_ok=True)
    failed, written = 0, set()
    for path in paths:
        target = asked.out / (Path(path.name.removesuffix(".gz")).stem + kind.ENDING)
        try:
            mine = target in written or (target.exists() and target.samefile(path))
            if mine or (target.exists() and not asked.overwrite):
                raise ValueError(f"{target} is there already")
            half = target.with_name(f".{target.name.partition('.')[0]}.half{kind.ENDING}")
            kind.predict(network, how, path, half)
            half.replace(target)  # so that a mask is whole, or not there
            written.add(target)
        except Exception as error:  # whatever one file does to a library must not end the others
            failed += 1
            print(f"failed: {path}: {' '.join(str(error).split())}", file=sys.stderr)
    print(f"{len(paths) - failed} of {len(paths)} masks in {asked.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
