"""Patients that choices were made on before a study began: its contrasts stand on the others, too.

``report STUDY --chosen-on FILE`` keeps them in ``chosen_on.json``, so that every later report has them.
"""

from __future__ import annotations

from pathlib import Path

from bench.data.patients import read_patients
from bench.errors import UserError
from bench.files.atomic import write_json
from bench.files.checked import read_names
from bench.report import frames
from bench.study.store import Study

FILE = "chosen_on.json"


def keep(study: Study, path: Path) -> None:
    """Keep the patients of a text file, one a line.

    Raises:
        UserError: no such file, one that names nobody, or somebody whom the study did not score.
    """
    named = read_patients(path, f"--chosen-on {path}")
    scored = {name for cases in frames.cases_by_part(study).values() for name in cases.patient}
    if unknown := sorted(named - set(map(str, scored))):
        raise UserError(
            f"--chosen-on {path}: names {unknown[0]!r}, which is no patient that the study scored"
        )
    write_json(study.root / FILE, sorted(named))


def kept(study: Study) -> frozenset[str]:
    """Those patients; nobody where none were named.

    Raises:
        UserError: ``chosen_on.json`` is damaged.
    """
    return frozenset(read_names(study.root / FILE, "patients"))
