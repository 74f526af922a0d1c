"""What the report knows of methods: from the record, or for records of before from a table of its own."""

import json
from dataclasses import replace

import pandas as pd
import pytest

import methods
from bench.report import frames, method_names, old_records
from bench.report.method_names import Shown
from bench.report.standard import standard
from bench.running.record import shown
from bench.study.outcomes import check_record

SMALL = "unet-32-64"
PLUG_IN = {"method": "Pruned", "rank": 1, "changed": "[share=0.5]", "graph": f"{SMALL}+pruned[share=0.5]"}
"""What the record of a job says whose method was registered where it ran, and is not here."""


@pytest.fixture(autouse=True)
def as_at_the_start(monkeypatch):
    """Names learnt here are for no other test."""
    for name in ("_labels", "_ranks"):
        monkeypatch.setattr(method_names, name, dict(getattr(method_names, name)))


def rewrite(study, job, **changes):
    """Change what the job's record holds."""
    path = study.path("records", job.id)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spec", "label", "changed"),
    [
        ("baseline", "plain", ""),
        ("pm-kd", "PM", ""),
        ("at-kd", "AT", ""),
        ("combined", "PM + AT", ""),
        ("pm-kd[temperature=2]", "PM", "[temperature=2.0]"),
        ("pm-kd[weight=0.2,temperature=2]", "PM", "[temperature=2.0,weight=0.2]"),
        ("pm-kd[variant=official]", "PM", "[variant=official]"),
        ("at-kd[weight=0.5]", "AT", "[weight=0.5]"),
        ("at-kd[variant=official]", "AT", "[variant=official,weight=1000.0]"),
        ("at-kd[variant=paper]", "AT", "[variant=paper]"),
        ("combined[at_weight=0.5]", "PM + AT", "[at_weight=0.5]"),
        ("combined[temperature=1]", "PM + AT", "[temperature=1.0]"),
        ("combined[variant=official]", "PM + AT", "[at_weight=1000.0,variant=official]"),
    ],
)
@pytest.mark.parametrize("slices", ["", "axial"])
def test_an_old_record_and_a_new_one_are_shown_alike(simulated, spec, label, changed, slices):
    job = replace(simulated.job(SMALL, spec, 0), slices=slices)
    old = {"job": job.as_dict()}
    new = json.loads(json.dumps(old | {"shown": shown(job)}))
    said = method_names.shown(new)
    assert method_names.shown(old) == said
    graph = f"{SMALL} {slices}" if slices else SMALL
    assert said == Shown(label, methods.names().index(job.method), changed, graph)


def test_the_old_table_is_what_the_methods_say():
    assert list(old_records.METHODS) == methods.names()[: len(old_records.METHODS)]
    for name, (label, usual) in old_records.METHODS.items():
        own = methods.parameters(methods.build(name)).items()
        assert (label, usual) == (
            methods.METHODS[name].label,
            " ".join(f"{k}={v}" for k, v in sorted(own)),
        )


def test_a_study_of_old_records_and_one_of_new_ones_have_the_same_summary(simulated):
    study = simulated.fill(seeds=1)
    simulated.add(SMALL, "pm-kd[temperature=2]", 0)
    simulated.add(SMALL, "at-kd[variant=official]", 0)
    simulated.measure()
    old = frames.summary(study)
    assert old.macs.notna().all()
    assert (old.changed != "").sum() == 2
    for job in study.jobs():
        rewrite(study, job, shown=shown(job))
    pd.testing.assert_frame_equal(frames.summary(study), old)


@pytest.fixture
def plugged_in(simulated, monkeypatch):
    """A measured study with one job of a method that is not registered; no other is known but old ones."""
    old = old_records.METHODS
    monkeypatch.setattr(method_names, "_labels", {name: label for name, (label, _) in old.items()})
    monkeypatch.setattr(method_names, "_ranks", {name: rank for rank, name in enumerate(old)})
    study = simulated.fill(seeds=1, students=1)
    simulated.measure()
    profile = json.loads((study.root / "profile.json").read_text())
    [entry] = [entry for entry in profile["entries"] if entry["graph"] == SMALL]
    own = {"graph": PLUG_IN["graph"], "macs": 123_000, "latency_ms": [0.25] * 20, "peak_memory_mb": 7.0}
    profile["entries"].append(entry | own)
    (study.root / "profile.json").write_text(json.dumps(profile))
    plain = simulated.job(SMALL, "baseline", 0)
    job = replace(plain, method="pruned", parameters=(("share", 0.5),))
    record = study.record(plain.id) | {"id": job.id, "job": job.as_dict(), "shown": PLUG_IN}
    study.plan(job)
    study.path("records", job.id).write_text(json.dumps(record))
    return study, job


def test_a_method_that_is_not_registered_keeps_what_its_record_says(plugged_in):
    study, job = plugged_in
    assert job.method not in methods.METHODS
    assert check_record(study.record(job.id), job.id, "record")["shown"] == PLUG_IN
    assert method_names.shown(study.record(job.id)) == Shown(**PLUG_IN, finished=True)
    frame = frames.summary(study)
    row = frame[frame.id == job.id].squeeze()
    assert (row.method, row.changed, row.method_parameters) == ("pruned", "[share=0.5]", "share=0.5")
    assert (row.macs, row.flops, row.latency_cpu_ms_p50) == (123_000, 246_000, 0.25)
    assert row.peak_memory_inference_mb == 7.0
    plain = frame[(frame.architecture == SMALL) & (frame.method == "baseline")].squeeze()
    assert plain.macs > row.macs, "each has the costs of its own graph"
    assert method_names.label("pruned") == "Pruned"
    order = method_names.in_order(["combined", "unheard-of", "at-kd", "pruned", "baseline"])
    assert order == ["baseline", "pruned", "at-kd", "combined", "unheard-of"]
    own = frame[frame.architecture == SMALL].method
    assert list(own) == ["baseline", *[name for name in method_names.known() if name != "baseline"]]
    assert job.id not in set(standard(frame).id), "its parameters are not the default"


def test_a_method_of_before_that_nobody_knows_is_shown_by_its_name_and_last(plugged_in):
    study, job = plugged_in
    record = study.record(job.id)
    del record["shown"]
    assert method_names.shown(record) == Shown("pruned", None, "", PLUG_IN["graph"], finished=True)
    study.path("records", job.id).write_text(json.dumps(record))
    frame = frames.summary(study)
    row = frame[frame.id == job.id].squeeze()
    plain = frame[(frame.architecture == SMALL) & (frame.method == "baseline")].squeeze()
    assert row.macs == 123_000 < plain.macs, "never the plain network's cost"
    assert method_names.label("pruned") == "pruned"
    assert method_names.in_order(["pruned", "combined"]) == ["combined", "pruned"]
    assert frame[frame.architecture == SMALL].method.iloc[-1] == "pruned"


def test_a_failed_job_of_such_a_method_is_shown_too(plugged_in):
    study, job = plugged_in
    failed = {"id": job.id, "status": "failed", "reason": "x", "job": job.as_dict(), "shown": PLUG_IN}
    study.path("records", job.id).write_text(json.dumps(failed))
    row = frames.summary(study).set_index("id").loc[job.id]
    assert (row.status, row.changed) == ("failed", "[share=0.5]")
    assert method_names.label("pruned") == "Pruned"
