"""A study folder: one record a job, written atomically, and what lies beside it.

::

    study.json      what is frozen at the first run
    plugins.json    names of plug-ins by the hash of their content
    splits.json     nnU-Net's form
    jobs/ID.json    what a job is (written when it is planned)
    records/ID.json what came out; its being there means that the job is done
    weights/        safetensors      } not in git
    predictions/    bit-packed masks } (of real data)
    checkpoints/    of jobs that are not finished
    targets/ cache/ can be made again; never in git
    masks/          predictions as NIfTI or PNG, of ``report --masks``
    progress/ logs/ what running jobs say; tensorboard/ for who asks; never in git
    *.corrupt       what was damaged and set aside
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files.atomic import remove_partials, write_json, write_text, writing
from bench.files.checked import read_json, read_whole, set_aside, was_set_aside
from bench.files.checksums import checksum, digest, sealed
from bench.job import Job
from bench.study.outcomes import check_record
from bench.study.schema import check_job, check_settings

DECIDE_TARGETS = (
    *("data", "split", "image_size", "patch", "slices", "teachers", "seed", "precision"),
    *("updates", "labels", "teacher_labels", "unlabelled", "protocol"),
)
"""Fields of a job; those of one recording agree in all of them, and in the maps and the plug-in if any."""
FAILED = ("failed", "blocked", "cannot-learn")

ID = re.compile("[0-9A-Za-z]{1,64}")
GIT_IGNORED = (
    "weights/",
    "targets/",
    "cache/",
    "checkpoints/",
    "progress/",
    "logs/",
    "tensorboard/",
    "*.corrupt*",
)
PREDICTED, PICTURES = ("predictions/",), ("figures/cases*",)
FILES = ("weights", "predictions")
"""What a job leaves beside its record, which holds their checksums."""
SUFFIXES = {"weights": ".safetensors", "predictions": ".npz", "checkpoints": ".checkpoint", "logs": ".log"}


@dataclass(frozen=True)
class Study:
    """The folder of a study."""

    root: Path

    def path(self, kind: str, job_id: str) -> Path:
        """Where something of a job lies; ``kind`` is a folder's name.

        Raises:
            UserError: what can't be an id, and so might lead out of the study.
        """
        if not ID.fullmatch(job_id):
            raise UserError(f"{self.root}: {job_id!r} can't be a job's id; see --dry-run")
        return self.root / kind / f"{job_id}{SUFFIXES.get(kind, '.json')}"

    def settings(self) -> dict[str, Any] | None:
        """What ``study.json`` holds; None before the first run.

        Raises:
            UserError: not JSON, an unknown key, a value of another type.
        """
        path = self.root / "study.json"
        content = read_json(path)
        return None if content is None else check_settings(content, path)

    def create(self, settings: dict[str, Any], synthetic: bool, may_be_shown: bool = False) -> None:
        """Make the folder and freeze ``settings``; who may see what is as of ``keep_from_git``."""
        self.keep_from_git(synthetic, may_be_shown)
        write_json(self.root / "study.json", settings)

    def keep_from_git(self, synthetic: bool, may_be_shown: bool = False) -> None:
        """Name in ``.gitignore`` what is not for git, unless it is named there.

        Of real data that is what was predicted, and pictures that not everybody may be shown.
        """
        path = self.root / ".gitignore"
        lines = path.read_text().splitlines() if path.is_file() else []
        pictures = () if synthetic or may_be_shown else PICTURES
        wanted = GIT_IGNORED + (() if synthetic else PREDICTED) + pictures
        missing = [line for line in wanted if line not in lines]
        if missing:
            write_text(path, "".join(f"{line}\n" for line in [*lines, *missing]))

    def contrasts(self) -> dict[str, list[str]]:
        """What the study may claim, and the ids of the jobs that each stands for; none where not kept."""
        settings = self.settings() or {}
        kept = settings.get("contrast_jobs", {})
        if isinstance(kept, list):  # as it was for a while; whose each is, its job says
            listed, kept = set(kept), {}
            for job in self.jobs():
                if job.id in listed:
                    kept.setdefault(f"{job.architecture}:{job.recipe}", []).append(job.id)
        return {name: kept.get(name, []) for name in settings.get("contrasts", ())}

    def plugins(self) -> dict[str, str]:
        """The names of the plug-ins that jobs here need, by the hash of their content."""
        content = read_whole(self.root / "plugins.json") or {}
        return {str(key): str(name) for key, name in content.items() if key != "checksum"}

    def keep_plugins(self, used: dict[str, str]) -> None:
        """Add names of plug-ins; their code is never kept."""
        known = self.plugins()
        if used.items() - known.items():
            write_json(self.root / "plugins.json", sealed(known | used))

    def tidy(self) -> None:
        """Remove what dead processes left: half-written files, checkpoints and news of jobs that are done.

        News of a job that runs all the same are written again after its next epoch.
        """
        with writing(self.root):
            remove_partials(self.root)
            for path in (*self.all("checkpoints"), *self.all("progress")):
                record = self.record(path.stem)
                if record is not None and record["status"] == "done" and self.has_weights(path.stem):
                    path.unlink(missing_ok=True)

    def all(self, kind: str) -> list[Path]:
        """The files of a kind, one a job, in the order of ids; none that is still being written."""
        found = (self.root / kind).glob(f"*{SUFFIXES.get(kind, '.json')}")
        return sorted(path for path in found if not path.name.startswith("."))

    def plan(self, job: Job) -> None:
        """Write what the job is, for whoever runs it by its id."""
        path = self.path("jobs", job.id)
        try:
            self.job(job.id)
            return
        except UserError as error:
            if path.is_file():
                set_aside(path, error)
        write_json(path, job.as_dict())

    def is_planned(self, name: str) -> bool:
        """Whether a job of that id is planned; any name may be asked for."""
        return ID.fullmatch(name) is not None and self.path("jobs", name).is_file()

    def job(self, job_id: str) -> Job:
        """The planned job of that id.

        Raises:
            UserError: no such job, or a file that is none.
        """
        path = self.path("jobs", job_id) if ID.fullmatch(job_id) else None
        values = read_whole(path) if path else None
        if path is None or values is None:
            raise UserError(f"{self.root}: no job {job_id!r} is planned here; see --dry-run")
        return check_job(values, job_id, path)

    def jobs(self) -> list[Job]:
        """All planned jobs; a file that is damaged is set aside."""
        found = ((path, read_whole(path)) for path in self.all("jobs"))
        return [check_job(values, path.stem, path) for path, values in found if values is not None]

    def record(self, job_id: str) -> dict[str, Any] | None:
        """The job's record, or None; a damaged one is set aside."""
        path = self.path("records", job_id)
        content = read_whole(path)
        try:
            return None if content is None else check_record(content, job_id, path)
        except UserError as error:
            set_aside(path, error)
            return None

    def records(self) -> list[dict[str, Any]]:
        """All records that are whole, in the order of their ids."""
        found = (self.record(path.stem) for path in self.all("records"))
        return [record for record in found if record is not None]

    def write_record(self, record: dict[str, Any]) -> None:
        """Write the job's record, with a checksum of its own; the job is done then, or has failed."""
        write_json(self.path("records", record["id"]), sealed(record))

    def checksums(self, job_id: str) -> dict[str, str]:
        """Of the job's files as they are now, by kind; for its record."""
        paths = {kind: self.path(kind, job_id) for kind in FILES}
        return {kind: checksum(path) for kind, path in paths.items() if path.is_file()}

    def intact(self, kind: str, job_id: str) -> bool:
        """Whether a file of the job is there and is what its record says; one that isn't is set aside."""
        path = self.path(kind, job_id)
        if not path.is_file():
            return False
        stated = ((self.record(job_id) or {}).get("files") or {}).get(kind)
        if stated is None or stated == checksum(path):
            return True
        set_aside(path, "not what its record says (SHA-256)")
        return False

    def has_weights(self, job_id: str) -> bool:
        """Whether the trained network itself is still here, undamaged."""
        return self.intact("weights", job_id)

    def must_mend(self, job_id: str) -> bool:
        """Whether a file of a done job was damaged and is not made again yet."""
        missing = [kind for kind in FILES if not self.intact(kind, job_id)]
        return any(was_set_aside(self.path(kind, job_id)) for kind in missing)

    def stamp(self, job_id: str) -> int | None:
        """Changes whenever the job's record is written; None where there is none."""
        try:
            return self.path("records", job_id).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def blocked(self, job: Job) -> str:
        """Why the job can't run: a teacher or a source without weights; empty if it can.

        One that was made from its source already needs it no more.
        """
        for needed in job.needs:
            is_source = needed == job.source
            if not self.has_weights(needed) and not (is_source and self.has_weights(job.id)):
                status = (self.record(needed) or {}).get("status", "done")
                ended = "" if status == "done" else f" ({status})"
                what = "source" if is_source else "teacher"
                return f"its {what} {self.job(needed).label} has no trained network{ended}"
        return ""

    def trained(self, job: Job) -> Job:
        """The job that trained the network that this one was made from, at any depth; else itself."""
        while job.source:
            job = self.job(job.source)
        return job

    def targets_folder(self, job: Job) -> Path:
        """Where the targets for a job are recorded: by a hash of all that decides them."""
        decide = [getattr(job, name) for name in DECIDE_TARGETS]
        decide += [value for value in (job.maps, job.plugin) if value]  # as it was before there were any
        return self.root / "targets" / digest(json.dumps(decide))


def existing(root: Path) -> Study:
    """The study in ``root``, which must have been begun.

    Raises:
        UserError: it has not.
    """
    study = Study(root)
    if study.settings() is None:
        raise UserError(f"{root}: no study.json here; name a folder that --matrix has filled")
    return study


def not_done(study: Study, job_id: str) -> str:
    """What to say of a job that has not been finished."""
    return f"{study.root}: job {job_id} is not done; see status"


def not_here(study: Study, kind: str, job_id: str) -> str:
    """What to say of a job whose weights or predictions are not there: kept elsewhere, or not made yet."""
    if (study.record(job_id) or {}).get("status") != "done":
        return not_done(study, job_id)
    return (
        f"{study.path(kind, job_id)}: not here, for {kind} are not kept with a study's records; run the "
        "matrix into a folder of your own with --results and take them from there"
    )


def failure(record: dict[str, Any] | None) -> str:
    """What went wrong, by a job's record: ``failed, out of memory``; empty if nothing did."""
    if record is None:
        return ""
    if record["status"] in FAILED:
        return f"{record['status']}, {record['reason']}"
    return str(record.get("failure", ""))
