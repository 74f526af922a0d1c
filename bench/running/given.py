"""What the user gives to teach instead of a network that is trained here: weights, or probability maps."""

from __future__ import annotations

import logging
import math
from functools import cache
from pathlib import Path

import numpy as np

from bench.data.map_agreement import check_agreement
from bench.data.prepared_maps import maps_of
from bench.data.teacher_maps import read_map
from bench.errors import UserError
from bench.planning.cells import Given
from bench.planning.matrix import Matrix
from bench.planning.options import Options
from bench.planning.session import Session, Setting
from bench.protocol import USABLE_DICE
from bench.training.job_parts import check_teacher

log = logging.getLogger(__name__)

_CHECKED: dict[tuple, str] = {}
"""Checksums of the maps that this process has looked at, for planning asks often: by what the folder holds,
data and split."""


def given_to_teach(matrix: Matrix, session: Session, setting: Setting, options: Options) -> Given:
    """The checksums of the weights or maps that ``--teacher`` or ``--teacher-maps`` names, or nothing.

    Raises:
        UserError: none such, or a study that must know which patients the teacher has seen.
    """
    path = options.teacher or options.teacher_maps
    if path is None:
        if options.teacher_saw is not None:
            raise UserError(f"--teacher-saw {options.teacher_saw}: goes with --teacher or --teacher-maps")
        return Given()
    flag = "--teacher" if options.teacher else "--teacher-maps"
    few = any(part.labels != ("all",) for part in matrix.parts)
    folds = setting.job.fold is not None
    said = options.teacher_saw is not None or "teacher_saw" in session.settings
    if not said and (few or folds or options.teacher_maps):
        what = "folds" if folds else "labels" if few else "maps"
        raise UserError(
            f"{flag} {path}: what it was trained on is not known, so a study with {what} can't tell which "
            "patients its students may be tested on; say so with --teacher-saw FILE (or unknown)"
        )
    if any(part.labels != ("all",) and part.teacher_labels != ("all",) for part in matrix.parts):
        raise UserError(
            f"{flag} {path}: it may have seen the labels that are withheld from students; must go with "
            "teacher_labels: all"
        )
    if options.teacher:
        given = Given(weights=check_teacher(options.teacher, matrix.teacher, setting.job))
        if not said:
            _tell_unknown(path)
        return given
    return Given(maps=_checked_maps(path, session, setting))


@cache
def _tell_unknown(path: Path) -> None:
    """Once, for planning asks often."""
    log.warning(
        f"--teacher {path}: nobody says which patients it saw, and they may be among those that are tested "
        "here; say so with --teacher-saw FILE (or unknown)"
    )


def _checked_maps(folder: Path, session: Session, setting: Setting) -> str:
    """The checksum of the maps, once they are found to be maps of these images."""
    job = setting.job
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    held = tuple(sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files))
    key = (folder, held, job.data, job.split)
    if key not in _CHECKED:
        prepared = session.prepared(job.image_size, job.slices, job.fold)
        dataset, split = prepared.dataset, prepared.split
        maps = maps_of(folder, prepared)
        read = (read_map(path, dataset, case) for case, path in maps.files.items())
        hard = [bool(np.isin(found, (0, 1)).all()) for found in read]
        if all(hard):
            log.warning(
                f"--teacher-maps {folder}: holds nothing but 0 and 1, as masks do; are these probabilities "
                "(of nnU-Net: --save_probabilities)?"
            )
        dice = check_agreement(maps, dataset, split.train)
        where = "" if job.fold is None else f" of fold {job.fold}"
        said = f"--teacher-maps {folder}: Dice {dice:.3f} to the masks of training cases{where}"
        if math.isnan(dice):
            log.warning(
                f"--teacher-maps {folder}: no training case{where} holds an object, so nobody can tell "
                "whether the maps lie like their images"
            )
        elif dice < USABLE_DICE:
            log.warning(f"{said}, far below any that could be used: do they lie on these images?")
        else:
            log.info(said)
        _CHECKED[key] = maps.hash
    return _CHECKED[key]
