"""What is measured of a study's networks, and what of ``profile.json`` stays when it is measured again."""

import json
from dataclasses import asdict
from datetime import datetime

import pytest
import torch
from samples import blank_job

import architectures
from bench import commands
from bench.files.atomic import write_json
from bench.protocol import SIDES
from bench.scoring import inference, profiling
from bench.study.profile import read_profile

HERE, SERVER = ({"cpu": name, "gpu": None} for name in ("this one", "a server"))


@pytest.fixture
def measured(simulated, monkeypatch):
    """Measuring that takes no time, on a machine of two threads; the study it is asked of."""

    def on(where, study, jobs, inputs, quiet_before):
        return [
            profiling.Measured(
                jobs[key].architecture, key, given.side, given.shape, "cpu", threads, "fp32", "torch",
                None, None, None, 1.0, HERE, [1.0],
            )
            for key in jobs for given in inputs[key] for threads in (1, 2)
        ]  # fmt: skip

    monkeypatch.setattr(profiling, "_on", on)
    monkeypatch.setattr(profiling, "_reach", lambda study, job: (1, None))
    monkeypatch.setattr(profiling, "machine", lambda: HERE)
    monkeypatch.setattr(profiling, "thread_counts", lambda: [1, 2])
    monkeypatch.setattr(profiling.quiet, "waited_for", lambda seconds: True)
    monkeypatch.setattr(profiling, "fault_here", lambda artefact: "")
    return simulated.study


def test_a_network_is_measured_at_all_sizes_that_it_is_trained_at(simulated, measured):
    simulated.add("unet-4-8", "baseline", 0)
    simulated.add("unet-4-8", "baseline", 1, image_size=48)
    jobs = measured.jobs()
    profiling.profile(measured, jobs)
    assert {entry["side"] for entry in read_profile(measured)} == {96, 48, *SIDES}
    assert profiling.is_measured(measured, jobs)


@pytest.mark.parametrize("here", [True, False])
def test_a_study_of_a_gpu_is_measured_where_there_is_none(simulated, measured, monkeypatch, caplog, here):
    """As by an engineer who was sent it, on the machine that it shall run on."""
    file = measured.root / "study.json"
    write_json(file, json.loads(file.read_text()) | {"device": "cuda"})
    monkeypatch.setattr(profiling, "is_here", lambda name: here)
    on, asked = profiling._on, []

    def noted(where, *rest):
        asked.append(where.type)
        return on(where, *rest)

    monkeypatch.setattr(profiling, "_on", noted)
    simulated.add("unet-4-8", "baseline", 0)
    profiling.profile(measured, measured.jobs())
    assert asked == (["cpu", "cuda"] if here else ["cpu"])
    assert ("no cuda" in caplog.text) != here
    assert profiling.is_measured(measured, measured.jobs())


def test_of_what_is_measured_again_nothing_of_another_machine_stays(simulated, measured):
    simulated.add("unet-4-8", "baseline", 0)
    profiling.profile(measured, measured.jobs())
    here = read_profile(measured)
    there = [entry | {"machine": SERVER, "threads": threads} for entry in here for threads in (1, 16)]
    elsewhere = {**there[0], "graph": "unet-2-4"}
    write_json(measured.root / "profile.json", {"entries": [*there, elsewhere]})
    profiling.profile(measured, measured.jobs())
    found = read_profile(measured)
    assert [entry["graph"] for entry in found if entry["machine"] == SERVER] == ["unet-2-4"]
    assert {entry["threads"] for entry in found if entry["machine"] == HERE} == {1, 2}


def test_a_network_that_comes_later_is_measured_beside_the_others(simulated, measured):
    """A machine is not as fast on every day, and tables compare."""
    simulated.add("unet-4-8", "baseline", 0)
    commands.profile_study(measured, measured.jobs())
    [first] = {entry["session"] for entry in read_profile(measured)}
    write_json(
        measured.root / "profile.json",
        {"entries": [entry | {"session": "yesterday"} for entry in read_profile(measured)]},
    )
    commands.profile_study(measured, measured.jobs())
    assert {entry["session"] for entry in read_profile(measured)} == {"yesterday"}, "nothing is missing"
    simulated.add("unet-2-4", "baseline", 0)
    later = [job for job in measured.jobs() if job.architecture == "unet-2-4"]
    commands.profile_study(measured, later)
    found = read_profile(measured)
    assert {entry["graph"] for entry in found} == {"unet-2-4", "unet-4-8"}
    assert len({entry["session"] for entry in found} - {"yesterday"}) == 1
    assert datetime.fromisoformat(first).tzinfo is not None


def test_another_network_whose_plugin_is_missing_is_left_out(simulated, measured, caplog):
    simulated.add("unet-4-8", "baseline", 0)
    simulated.add("my-net", "baseline", 0, plugin="0123456789abcdef")
    simulated.add("unet-2-4", "baseline", 1, plugin="0123456789abcdef")
    simulated.add("unet-2-4", "baseline", 0)
    commands.profile_study(measured, [job for job in measured.jobs() if job.architecture == "unet-4-8"])
    assert {entry["graph"] for entry in read_profile(measured)} == {"unet-2-4", "unet-4-8"}
    [said] = [line for line in caplog.text.splitlines() if "left out" in line]
    assert (
        "profiling: my-net is left out: my-net:baseline seed 0: needs a plug-in (0123456789abcdef)" in said
    )


def test_sides_that_a_network_can_not_take_are_left_out(simulated):
    before = list(architectures.FAMILIES)
    architectures.register(
        "fixed", supports=lambda dims, sides: "" if set(sides) == {96} else "made for 96"
    )(lambda spatial_dims, in_channels, out_channels: torch.nn.Conv2d(1, 1, 1))
    architectures.register("thirds", stride=3)(lambda **shape: torch.nn.Conv2d(1, 1, 1))
    try:
        for name in ("fixed", "thirds"):
            given = inference.inputs_of(simulated.study, blank_job(architecture=name))
            assert [asdict(one)["side"] for one in given] == [96]
    finally:
        architectures.FAMILIES[:] = before
