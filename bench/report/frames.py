"""Records to data frames: one row a job, one row a case, one row a measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.job import Job, parameters_text
from bench.protocol import SIDES
from bench.report.cells import Cell
from bench.report.facts import costs_of, distance_unit, letters, made_seconds, progress
from bench.report.gaps import drop_to_source, share_of_each_job
from bench.report.method_names import known, learn, shown
from bench.report.plugin_versions import plugin_versions
from bench.report.taught_by import MAPS, of_source, teacher_texts, told_apart
from bench.study.learning import fell
from bench.study.outcomes import Cost
from bench.study.profile import Key, entry_key, on_most_threads, read_profile
from bench.study.store import Study

TEST_COLUMNS = ("dice", "dice_slice", "precision", "sensitivity", "hd95", "nsd")
NUMBERS = (
    *(*TEST_COLUMNS, *(f"{name}_val" for name in TEST_COLUMNS), "dice_val_last", "best_epoch"),
    *("parameters", "macs", "flops", "size_mb", "train_seconds", "recording_seconds"),
    *("latency_cpu_ms_p50", "latency_cpu_ms_p95", "latency_gpu_ms_p50"),
    *("peak_memory_train_mb", "peak_memory_inference_mb", "updates", "latency_cpu_1_ms_p50"),
)
LARGE = tuple(f"{name}_{side}" for name in ("latency_cpu_ms", "latency_cpu_1_ms") for side in SIDES)
SUMMARY_COLUMNS = (
    *("id", "dataset", "architecture", "method", "seed", "status"),
    *("dice", "dice_slice", "dice_val", "dice_val_last", "precision", "sensitivity", "hd95", "nsd"),
    *("dice_slice_val", "precision_val", "sensitivity_val", "hd95_val", "nsd_val"),
    *("parameters", "macs", "flops", "size_mb", "train_seconds", "recording_seconds"),
    *("latency_cpu_ms_p50", "latency_cpu_ms_p95", "latency_gpu_ms_p50"),
    *("peak_memory_train_mb", "peak_memory_inference_mb"),
    *("seg_loss", "variant", "image_size", "train_patients", "best_epoch", "method_parameters"),
    *("teacher", "teachers", "threads_train", "precision_train", "compiled", "synthetic", "reason"),
    *("commit", "spatial_dims", "slices", "updates", "voxels_seen", "latency_volume_cpu_ms_p50"),
    *("micro_batch", "checkpointing"),
    *("fold", "labels", "teacher_labels", "unlabelled", "source", "gap_closed"),
    *("recipe", "runtime", "artefact_precision", "latency_cpu_1_ms_p50", "dice_drop"),
    *("distance_unit", "changed_after_training", "drawn"),
)
"""``drawn``: which seed drew the patients that a job knows; empty: its own."""
UNWRITTEN_COLUMNS = (
    *("changed", "stride", "receptive_field", "updates_asked", "folds", "code", "graph", "predicts"),
    *("made_seconds", "version", "scored_on", "val_falls", "progress", "odd_data", "teacher_saw"),
    *("shuffled", "taught_by", "instruction_set", "maps", "given", "unusual", "made_again"),
    *("plugin", *LARGE),
)
"""Of the frame, not of ``summary.csv``: parameters that are not the default, the network's reach, whose
measurements are its own, whether it predicts nothing or everything on all validation cases, the seconds of
making it, the updates that were asked for (empty: the protocol's number), the study's folds (missing: it
has none), what tells code apart (its fingerprint, or of old records the commit) and a letter for it,
the patients that the job was scored on, whether its Dice on validation falls while its loss falls
(``doubts``), how many of the planned jobs are done (empty: all), what was odd about the data, what is
known of whom a given teacher saw, whether its targets are other samples', who taught it or the network that
it was made from, which maps or weights were given, what else of the job is not usual, in words, whether its
network was made once more and came out otherwise, and which of several versions of a plug-in made it."""
PLAIN_FIELDS = ("image_size", "spatial_dims", "slices", "micro_batch", "plugin")
"""What a row has as its job has it."""
FURTHER_PREFIXES = (
    *(f"{name}_" for name in ("precision", "sensitivity", "hd95", "nsd", "dice")),
    "false_positive_",
)
"""Further columns: where there are several classes each measure of each class, ``dice_<class>``; where some
cases hold no object, what was found in them."""


class Frames(NamedTuple):
    """``summary``, ``cases`` of ``test`` and of ``val``, and ``curves`` of a study."""

    summary: pd.DataFrame
    cases: dict[str, pd.DataFrame]
    curves: pd.DataFrame


def of_study(study: Study) -> Frames:
    """All of them; the records are read once."""
    records = study.records()
    return Frames(_summary(study, records), _by_part(records), _curves(records))


def summary(study: Study) -> pd.DataFrame:
    """One row a record, columns as in ``SUMMARY_COLUMNS`` and more; what a record lacks is empty."""
    return _summary(study, study.records())


def _summary(study: Study, records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    entries = read_profile(study)
    costs = {entry_key(e): e for e in entries} | on_most_threads(entries)
    learn(records)
    rows = [_row(record, costs) for record in records]
    further = [name for row in rows for name in row if name.startswith(FURTHER_PREFIXES)]
    columns = [*SUMMARY_COLUMNS, *further, *UNWRITTEN_COLUMNS]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))
    numbers = [*NUMBERS, *LARGE, "stride", "receptive_field"]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)  # where all are empty, too
    settings = study.settings() or {}
    frame["folds"] = settings.get("folds")
    frame["odd_data"] = [tuple(settings.get("warnings", ()))] * len(frame)
    frame["teacher_saw"] = settings.get("teacher_saw", "")
    frame[["fold", "folds"]] = frame[["fold", "folds"]].astype("Int64")
    frame["maps"], frame["given"] = told_apart(frame.maps, MAPS), told_apart(frame.given, "given")
    frame["teacher"] = teacher_texts(frame)
    frame["taught_by"] = of_source(frame)
    frame["plugin"] = plugin_versions(
        frame, [name for name in (*Cell._fields, "recipe") if name != "plugin"]
    )
    scored = _cases(records, "test" if score_column(frame)[1] == "test" else "val")
    frame["gap_closed"] = share_of_each_job(frame, scored)
    frame["dice_drop"] = drop_to_source(frame, scored)
    frame["scored_on"] = frame.id.map(scored.dropna(subset=["dice"]).groupby("id").patient.agg(frozenset))
    frame["version"] = frame.code.map(letters(frame.code))
    frame["progress"] = progress(study, frame)
    order = {name: k for k, name in enumerate(known())}
    keys: dict[str, Callable[[pd.Series], pd.Series]] = {
        "parameters": lambda values: -values,
        "method": lambda values: values.map(order),
        "labels": lambda values: pd.to_numeric(values, errors="coerce"),  # all of them last
        "updates_asked": lambda values: pd.to_numeric(values, errors="coerce").fillna(0),  # the usual first
    }
    by = [
        *("parameters", "seg_loss", "architecture", "method", "labels", "teacher_labels", "unlabelled"),
        *("updates_asked", "seed"),
    ]
    return frame.sort_values(
        by, key=lambda c: keys.get(str(c.name), lambda values: values)(c), kind="stable", ignore_index=True
    )


def written(summary: pd.DataFrame) -> pd.DataFrame:
    """The columns of ``summary.csv``."""
    return summary.drop(columns=list(UNWRITTEN_COLUMNS))


def _row(record: dict[str, Any], costs: dict[Key, dict[str, Any]]) -> dict:
    job = Job.from_dict(record["job"])
    said, origin = shown(record), record.get("provenance", {})
    made = record.get("artefact") or {}
    rate = "" if job.learning_rate is None else f"learning_rate={job.learning_rate:g}"
    row: dict[str, Any] = {
        "id": record["id"],
        **{name: getattr(job, name) for name in ("dataset", "architecture", "method", "seed", "fold")},
        "labels": "all" if job.labels is None else str(job.labels),
        "teacher_labels": job.teacher_labels,
        "unlabelled": job.unlabelled,
        "updates_asked": "" if job.updates is None else str(job.updates),
        "source": job.source,
        "recipe": _recipe(record, f"{job.method}{said.changed}", rate),
        "graph": said.graph,
        "status": record["status"],
        "seg_loss": job.seg_loss,
        "variant": job.variant,
        **{name: getattr(job, name) for name in PLAIN_FIELDS},
        "checkpointing": job.recompute,
        "method_parameters": " ".join(filter(None, (parameters_text(job.parameters), rate))),
        "changed": said.changed + (f"[{rate}]" if rate else ""),
        "maps": job.maps,
        "given": job.weights,
        "shuffled": job.shuffled,
        "unusual": replace(job, slices="").unusual,
        "drawn": "" if job.labels_seed is None else f"by seed {job.labels_seed}",
        "teachers": " ".join(job.teachers),
        "threads_train": job.threads,
        "precision_train": job.precision,
        "compiled": job.compiled,
        "reason": record.get("reason", record.get("failure", "")),
        "commit": origin.get("commit"),
        "code": origin.get("fingerprint") or origin.get("commit"),
    }
    if record["status"] != "done":
        return row
    test, val = _part(record, "test"), record["val"]
    row |= {name: test.get(name) for name in TEST_COLUMNS}
    row |= {f"{name}_val": val.get(name) for name in TEST_COLUMNS}
    row |= {name: value for name, value in test.items() if name.startswith(FURTHER_PREFIXES)}
    row |= {f"{name}_val": value for name, value in val.items() if name.startswith(FURTHER_PREFIXES)}
    row |= {name: value for name, value in record["cost"].items() if name in Cost.model_fields}
    row["recording_seconds"] = record["cost"].get("seconds", {}).get("recording")
    row |= {
        "runtime": made.get("runtime", "torch"),
        "artefact_precision": made.get("precision", "fp32"),
        "instruction_set": (made.get("facts") or {}).get("instruction_set", ""),
        "predicts": record.get("predicts", ""),
        "made_again": bool(record.get("before")),
        "made_seconds": made_seconds(record["cost"]),
        "dice_val_last": record["dice_val_last"],
        "best_epoch": record["best_epoch"],
        "train_patients": record["dataset"]["train_patients"],
        "synthetic": record["dataset"]["synthetic"],
        "distance_unit": distance_unit(record),
        "changed_after_training": said.finished,
        "val_falls": bool(fell(record["curves"])),
    }
    return row | costs_of(job, said.graph, costs)


def _recipe(record: dict[str, Any], usual: str, rate: str) -> str:
    """The record's recipe, with the learning rate of its first step if that is not the usual one."""
    first, *rest = ((record.get("shown") or {}).get("recipe") or usual).split(" > ")
    return " > ".join([f"{first}[{rate}]" if rate else first, *rest])


TEXTS = ("case", "patient", "distance_unit")
HEAD_COLUMNS = ("id", "architecture", "method", "seg_loss", "variant", "seed", "fold")


def cases(study: Study, part: str = "test") -> pd.DataFrame:
    """One row per job and case of ``part``; no rows where that part was not scored."""
    return _cases(study.records(), part)


def cases_by_part(study: Study) -> dict[str, pd.DataFrame]:
    """``cases`` of ``test`` and of ``val``; the records are read once."""
    return _by_part(study.records())


def _by_part(records: Sequence[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    return {part: _cases(records, part) for part in ("test", "val")}


def _cases(records: Sequence[dict[str, Any]], part: str) -> pd.DataFrame:
    rows = []
    for record in records:
        if own := _part(record, part).get("rows"):
            rows += _headed(record, own, distance_unit=distance_unit(record))
    if not rows:
        return pd.DataFrame(columns=[*HEAD_COLUMNS, "case", "patient", "dice"])
    return _with_numbers(pd.DataFrame(rows))


def curves(study: Study) -> pd.DataFrame:
    """One row per job and epoch."""
    return _curves(study.records())


def _curves(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    rows = [row for record in records for row in _headed(record, record.get("curves", []))]
    if not rows:
        return pd.DataFrame(columns=[*HEAD_COLUMNS, "epoch", "seg", "dice_val"])
    return _with_numbers(pd.DataFrame(rows))


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Measures as numbers, also where all of a column are empty."""
    measures = [name for name in frame.columns if name not in (*HEAD_COLUMNS, *TEXTS)]
    numbers = {name: pd.to_numeric(frame[name]) for name in measures}
    return frame.assign(**numbers, fold=frame.fold.astype("Int64"))


def _part(record: dict[str, Any], part: str) -> dict[str, Any]:
    """Scores of a part, nothing where it was not scored."""
    return record.get(part) or {}


def _headed(record: dict[str, Any], rows: Sequence[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """A record's rows with what job they are of in front, and ``more`` behind."""
    job = Job.from_dict(record["job"])
    values = (job.id, job.architecture, job.method, job.seg_loss, job.variant, job.seed, job.fold)
    head = dict(zip(HEAD_COLUMNS, values, strict=True))
    return [head | row | head | more for row in rows]


def latency(study: Study) -> pd.DataFrame:
    """One row a measurement, percentiles of its raw values."""
    rows = []
    for entry in read_profile(study):
        values = entry["latency_ms"]
        row = {key: value for key, value in entry.items() if key not in ("latency_ms", "machine")}
        row["processor"] = entry["machine"]["gpu" if entry["device"] == "cuda" else "cpu"] or ""
        row["shape"] = "x".join(str(side) for side in entry["shape"])
        row |= {f"latency_ms_p{q}": np.percentile(values, q) for q in (5, 50, 95)}
        row |= {"repeats": len(values), "frames_per_second": 1e3 / np.percentile(values, 50)}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.fillna({"session": ""}) if "session" in frame else frame


def single_passes(latency: pd.DataFrame) -> pd.DataFrame:
    """The measurements of one pass of a network, without those of whole volumes, window by window."""
    return latency[~latency.get("volume", pd.Series(False, latency.index)).astype(bool)]


def score_column(frame: pd.DataFrame) -> tuple[str, str]:
    """The Dice column to show and its name: test where every finished job has it, else validation."""
    done = frame[frame.status == "done"]
    if len(done) and done.dice.notna().all():
        return "dice", "test"
    return "dice_val", "validation"


def by_size(frame: pd.DataFrame) -> list[str]:
    """Architectures, largest first, those of unknown size last."""
    sizes = frame.groupby("architecture").parameters.first()
    return list(sizes.sort_values(ascending=False, kind="stable").index)
