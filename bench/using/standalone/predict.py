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


def check_processor(about: dict[str, Any], trusted: bool) -> None:
    """Refuse an INT8 network where sums would be cut off in silence: on x86 that is not known to have VNNI.

    ``trusted``: the user says that it has; asked only where the system does not say.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    if about["precision"] != "int8" or about["overflow_fix"] or not x86:
        return
    known = Path("/proc/cpuinfo")  # neither Windows nor macOS has it
    flags = known.read_text() if known.is_file() else ""
    if flags and not any(name in flags for name in ("vnni", "amx_int8")):
        raise SystemExit("error: this INT8 network needs a processor with VNNI; sums would be cut off")
    if not flags and not trusted:
        raise SystemExit(
            "error: this INT8 network needs a processor with VNNI, else its sums are cut off; this system "
            "does not say what its processor has: look it up, and if it has VNNI add --trust-processor"
        )


def open_network(about: dict[str, Any], threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What turns normalised images ``(N, C, *sides)``, float32, into logits."""
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
    parser.add_argument(
        "--trust-processor", action="store_true", help="it has VNNI, though the system does not say so"
    )
    asked = parser.parse_args()
    about = json.loads((HERE / "configs" / "inference.json").read_text(encoding="utf-8"))
    how = about["preprocessing"]
    check_processor(about["network"], asked.trust_processor)
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
