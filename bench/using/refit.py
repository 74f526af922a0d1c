"""A recipe trained once more, on all patients, for whoever ships it; nobody is left to score it on.

The work is a study of its own in ``STUDY/refit``, which another export goes on with. Its networks keep
their last epoch; what its records call validation is of patients that they were trained on.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from bench import plugins
from bench.compute.device import choose_device
from bench.data.dataset import Dataset
from bench.data.splits import Split
from bench.data.splits_file import read_splits
from bench.errors import UserError
from bench.files import lease, stopping
from bench.job import Job
from bench.planning.options import Options
from bench.planning.session import Session, data_again
from bench.report import frames
from bench.running.job import complete
from bench.study.reporter import Reporter
from bench.study.store import Study, not_done
from bench.training.can_learn import CannotLearn
from bench.training.loop import Diverged
from bench.using.choosing import SAME

log = logging.getLogger(__name__)

FOLDER = "refit"


def refit(study: Study, job_id: str, data: Path | None) -> tuple[Study, str]:
    """Train what the job needs and the job itself on all patients, as far as that is not done.

    Returns:
        The study that holds them, and the id of the job there.

    Raises:
        UserError: the study's data is neither built in nor named, or the job can't be trained so.
    """
    job = study.job(job_id)
    _check(study, job)
    dataset = data_again(study, data)
    if dataset is None:
        raise UserError("--refit: trains on the study's images, so it needs them; give --data FOLDER")
    split = _everybody(study, dataset)
    home = Study(study.root / FOLDER)
    of_folds = ("folds", "contrasts", "contrast_jobs")
    settings = {key: value for key, value in (study.settings() or {}).items() if key not in of_folds}
    settings["split"] = split.fingerprint
    if home.settings() not in (None, settings):
        raise UserError(f"{home.root}: was begun from another state of the study; remove it")
    home.create(settings, dataset.synthetic, dataset.may_be_shown)
    home.keep_plugins(study.plugins())
    session = Session(home, dataset, (split,), choose_device(settings["device"]), settings)
    planned = on_all_patients(study, job, split)
    for one in planned:
        plugins.require(one, study.plugins())
        home.plan(one)
        _run(session, one)
    return home, planned[-1].id


def on_all_patients(study: Study, job: Job, split: Split) -> list[Job]:
    """The job after all that it needs, as it is trained on ``split``.

    Whichever of its repeats is named, that is one network: a recipe has one that is shipped. Its teachers
    are told apart by their seeds, as they were.
    """
    made: dict[str, Job] = {}
    order = _in_order(study, job)
    seeds = {name: k for one in order for k, name in enumerate(one.teachers)}
    for one in order:
        made[one.id] = replace(
            one,
            split=split.fingerprint,
            fold=None,
            seed=seeds.get(one.id, 0),
            refit=True,
            teachers=tuple(made[name].id for name in one.teachers),
            source=made[one.source].id if one.source else "",
        )
    return list(made.values())


def repeats_of(study: Study, job_id: str) -> list[str]:
    """Ids of all repeats (folds, seeds) of a job's recipe that are done."""
    summary = frames.summary(study)
    done = summary[summary.status == "done"]
    own = done[done.id == job_id]
    if not len(own):
        raise UserError(not_done(study, job_id))
    columns = done[SAME].fillna("")
    return list(done.id[(columns == columns.loc[own.index[0]]).all(axis=1)])


def _check(study: Study, job: Job) -> None:
    """Refuse what would be another recipe on all patients."""
    for one in _in_order(study, job):
        if one.weights:
            raise UserError(f"--refit: the weights of {one.label} were given, not trained here")
        if one.maps:
            raise UserError(
                f"--refit: {one.label}: the study does not keep the maps of --teacher-maps; leave --refit "
                "out, or name a job that a network taught"
            )
        if one.labels is not None or one.teacher_labels != "same":
            raise UserError(f"--refit: {one.label} learns from some labels alone; with all it is another")


def _in_order(study: Study, job: Job) -> list[Job]:
    """The job after all that it needs, each once."""
    found: dict[str, Job] = {}

    def add(one: Job) -> None:
        for name in one.needs:
            add(study.job(name))
        found.setdefault(one.id, one)

    add(job)
    return list(found.values())


def _everybody(study: Study, dataset: Dataset) -> Split:
    """All cases for training; the validation cases of the first split are shown in the curves."""
    first, *_ = read_splits(study.root / "splits.json", dataset)
    return Split(tuple(dataset.cases), first.val, ())


def _run(session: Session, job: Job) -> None:
    """Train, or make from its source, unless it is there; a killed one goes on after its last epoch."""
    study = session.study
    with lease.waited_for(study.root, job.id) as held:
        if (study.record(job.id) or {}).get("status") == "done" and study.has_weights(job.id):
            return
        log.info(f"on all patients: {job.label}")
        reporter = Reporter()
        reporter.between_epochs += [lambda phase: stopping.check(), lambda phase: held.check()]
        try:
            with stopping.after_saving():
                complete(session, job, Options(no_test=True), reporter)
        except (CannotLearn, Diverged) as error:
            raise UserError(f"--refit: {job.label}: {error}") from None
