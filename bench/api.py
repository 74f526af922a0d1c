"""The harness from Python: open a study, read its records, use its networks, run a matrix.

Each function composes what the command line uses as well. ``docs/python.md`` has an example that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import plugins
from bench.commands import run_matrix
from bench.errors import UserError
from bench.files.atomic import plain
from bench.planning.options import Options
from bench.report import frames
from bench.running.plan import resolved
from bench.study.predictions import Labels, read_predictions
from bench.study.store import Study, existing, not_here
from bench.training import artefacts
from bench.training.job_parts import load_artefact
from bench.using.choice import as_dict, choose_of
from bench.using.export import export as write_bundle
from bench.using.folder import predict_files as write_masks
from bench.using.network import check_runs, of_study
from bench.using.prediction import predict_array
from bench.using.wishes import ExportWish, Limits, Wish
from methods.artefact import Artefact

__all__ = [
    "cases",
    "choose",
    "export",
    "load",
    "open_artefact",
    "open_study",
    "predict",
    "predict_files",
    "predictions",
    "records",
    "run",
]

Asked = TypeVar("Asked", Options, Wish, Limits, ExportWish)


def open_study(folder: Path | str, plugin: Sequence[Path | str] = ()) -> Study:
    """The study in ``folder``; nothing is trained or written.

    Args:
        folder: what ``--results`` named.
        plugin: Python files with what its jobs need beside the built-in networks and methods.

    Raises:
        UserError: there is none, or a plug-in can't be loaded.
    """
    plugins.load(Path(path) for path in plugin)
    return existing(Path(folder))


def records(study: Study) -> pd.DataFrame:
    """One row a job that has a record; the columns are those of ``summary.csv``."""
    return frames.written(frames.summary(study))


def cases(study: Study, part: str = "test") -> pd.DataFrame:
    """One row a job and case of ``part``, which is ``test`` or ``val``; none where that was not scored."""
    if part not in ("test", "val"):
        raise UserError(f"part {part!r}: must be test or val")
    return frames.cases(study, part)


def load(study: Study, job_id: str) -> Artefact:
    """The finished network of a job, on the processor.

    Its ``predict`` takes images ``(N, C, *spatial)``, float32, normalised and at network size, and gives
    logits ``(N, out_channels, *spatial)``. ``module`` is the torch network, where there is one.

    Raises:
        UserError: no such job, or its weights are not here.
    """
    artefact = load_artefact(study, study.job(job_id))
    if artefact is None:
        raise UserError(not_here(study, "weights", job_id))
    return artefact


def open_artefact(path: Path | str) -> Artefact:
    """The network in a file of weights, on the processor; ``about`` says what it is and how to feed it.

    Raises:
        UserError: no artefact, a damaged one, or one of another version.
    """
    try:
        return artefacts.open_artefact(Path(path))
    except ValueError as error:
        raise UserError(str(error)) from None


def predict(
    study: Study, job_id: str, image: NDArray[np.generic], spacing: Sequence[float] | None = None
) -> Labels:
    """What a job's network finds in an image of one's own: class indices ``(*spatial)``, uint8.

    0 is background; the classes follow in their order. The image is prepared as those that the network was
    trained on, and the classes are decided on its own grid.

    Args:
        study: where the job was run.
        job_id: a job that is done.
        image: ``(C, *spatial)``, or ``(*spatial)`` where there is one channel, in the units of the training
            images.
        spacing: of a volume, in mm along each axis; None: that of the training volumes.

    Raises:
        UserError: the job is not done, its weights or its runtime are not here, or the image is of another
            kind.
    """
    network = of_study(study, job_id)
    check_runs(network)
    return predict_array(network.artefact.predict, network.made_for, image, spacing)


def predict_files(
    study: Study, job_id: str, inputs: Sequence[Path | str], out: Path | str, **wishes: Any
) -> pd.DataFrame:
    """Write the masks that a job's network finds in files, as the verb ``predict`` does.

    A file that can't be read ends nothing: its row says so in ``status`` and ``reason``.

    Args:
        study: where the job was run.
        job_id: a job that is done.
        inputs: images, volumes, DICOM series, or folders of them.
        out: the folder for masks and ``predictions.json``.
        wishes: the flags of the verb with underscores: ``overlay=True, masks="m", threads=2``.

    Returns:
        One row a case, as ``predictions.json`` has them.

    Raises:
        UserError: a mistake in what is asked for (nothing is predicted then), or a disk that is full.
        TypeError: no such wish.
    """
    wish = _asked(Wish, wishes)
    paths = [Path(path) for path in inputs]
    return pd.DataFrame(write_masks(of_study(study, job_id), paths, Path(out), wish))


def choose(study: Study, **limits: Any) -> dict[str, Any]:
    """The study's best network on validation within limits, as ``choose --json`` prints it.

    Args:
        study: with its records; its weights only for ``here=True``.
        limits: the flags of the verb with underscores: ``max_ms=40, side=512, within=0.02``.

    Returns:
        ``answer`` (None where nothing is within the limits), ``doubts`` in words, ``runners_up``,
        ``left_out`` and why.

    Raises:
        UserError: a limit that can't be.
        TypeError: no such limit.
    """
    wish = _asked(Limits, limits)
    found: dict[str, Any] = plain(as_dict(study, choose_of(study, wish), wish))
    return found


def export(study: Study, job_id: str, out: Path | str, **wishes: Any) -> None:
    """Write a finished network as a bundle that works without this project, as the verb ``export`` does.

    Args:
        study: where the job was run.
        job_id: a job that is done.
        out: the folder for the bundle.
        wishes: the flags of the verb with underscores: ``runtime="openvino", overwrite=True``.

    Raises:
        UserError: a mistake in what is asked for; nothing is written then.
        TypeError: no such wish.
    """
    write_bundle(study, job_id, Path(out), _asked(ExportWish, wishes))


def predictions(study: Study, job_id: str) -> dict[str, Labels]:
    """The masks that a job predicted when it was scored, by case, each on the grid of its image.

    Raises:
        UserError: they are not here.
    """
    found = read_predictions(study, job_id)
    if found is None:
        raise UserError(not_here(study, "predictions", job_id))
    return found


def run(matrix: Path | str, **options: Any) -> Study:
    """Run a matrix as the command line does, and give its study.

    What is done already is not run again. A job that fails leaves a record that says so, and the others go
    on: look at ``records(study).status``.

    Args:
        matrix: a name that ``list`` shows, or a YAML file.
        options: the flags of the command line with underscores: ``results="r", seeds=(0, 1)``.

    Raises:
        UserError: a mistake in options, matrix or data.
        TypeError: no such option.
        Stopped: Ctrl-C; the same call goes on where it was.
    """
    asked = _asked(Options, {**options, "matrix": str(matrix)})
    run_matrix(asked)
    return Study(resolved(asked)[0].results or Path())


def _asked(kind: type[Asked], values: Mapping[str, Any]) -> Asked:
    """The flags that were given, each as its field has it: a path for a text, a tuple for a list."""
    paths = {field.name for field in fields(kind) if "Path" in str(field.type)}
    return kind(**{name: _read(value, name in paths) for name, value in values.items()})


def _read(value: Any, is_path: bool) -> Any:
    if isinstance(value, list):
        return tuple(_read(one, is_path) for one in value)
    return Path(value) if is_path and isinstance(value, str) else value
