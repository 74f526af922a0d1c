"""Studies too small to tell anything: said when they are planned, before hours go into them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bench.job import Job
from bench.planning.estimates import trains, updates_of
from bench.planning.session import Session
from bench.protocol import FEW_PATIENTS, FEW_UPDATES

log = logging.getLogger(__name__)


def warn_of_too_little(session: Session, jobs: Sequence[Job], no_test: bool) -> None:
    """Say it where ``jobs`` have hardly begun to learn when they end, or few patients score them."""
    trained = {(job.fold, job.updates): job for job in jobs if trains(job)}
    updates = [updates_of(job, session.prepared_for(job).samples) for job in trained.values()]
    if updates and min(updates) < FEW_UPDATES:
        log.warning(f"{min(updates)} updates a job: fewer than {FEW_UPDATES} say little about a network")
    dataset, part = session.dataset, "val" if no_test else "test"
    scored = {dataset.patients[k] for split in session.splits for k in split.indices(dataset, part)}
    if len(scored) < FEW_PATIENTS:
        few = f"{len(scored)} {'validation' if no_test else 'test'} patient{'s' * (len(scored) != 1)}"
        advice = "" if len(session.splits) > 1 else "; with --folds every patient is tested"
        log.warning(f"{few}: fewer than {FEW_PATIENTS} tell no networks apart{advice}")
