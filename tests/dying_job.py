"""A short job of synthetic slices; as a script one that dies in its midst: SIGKILL, nothing is tidied up.

``python dying_job.py STUDY ID calibration|round`` dies while it looks at its second calibration image, or
once an epoch of its second round of training is on the disk.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a script's own folder has a ``bench``, too

from bench.data import phantom
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient
from bench.planning.options import Options
from bench.running.job import complete
from bench.study.reporter import Reporter
from bench.study.store import Study

OPTIONS = Options(epochs=2, steps_at_most=2, no_test=True)


def run(study: Study, job: str, die: str = "") -> dict[str, Any]:
    """Run the job in this process; its record."""
    dataset, reporter = phantom.generate(side=32), Reporter()
    prepared = PreparedImages(dataset, split_by_patient(dataset), 16)
    session: Any = SimpleNamespace(study=study, device=torch.device("cpu"), prepared_for=lambda _: prepared)
    if die == "round":
        reporter.between_epochs.append(lambda phase: phase == "train" and killed())
    elif die == "calibration":
        import nncf

        begin = nncf.Dataset.__init__
        nncf.Dataset.__init__ = lambda self, images: begin(self, _Dying(images))
    return complete(session, study.job(job), OPTIONS, reporter)


class _Dying(list):
    def __iter__(self) -> Any:
        for number, image in enumerate(super().__iter__()):
            if number == 1:
                killed()
            yield image


def killed() -> None:
    """As by a machine that is switched off."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(Study(Path(sys.argv[1])), *sys.argv[2:])
