"""Jobs of a plug-in that was mended stand beside those of before, and are not averaged with them."""

import pandas as pd
import pytest

from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.plugin_versions import plugin_versions
from bench.report.report import write_report

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL, TEACHER = "unet-32-64", "unet-64-128-256-512"
OLD, NEW = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


def test_two_versions_are_two_rows(folded):
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        folded.add(SMALL, "baseline", fold)
        folded.add(SMALL, "pm-kd", fold, plugin=OLD, effect=0.0)
        folded.add(SMALL, "pm-kd", fold, plugin=NEW, effect=0.1)
    done = frames.summary(folded.study)
    assert set(done.plugin) == {"", "plug-in aaaaaa", "plug-in bbbbbb"}
    found = comparisons(done, frames.cases(folded.study)).set_index(["method", "plugin", "against"])
    old, new = (found.loc[("pm-kd", f"plug-in {own[:6]}", "baseline")] for own in (OLD, NEW))
    assert new.difference - old.difference == pytest.approx(0.1, abs=0.02)
    write_report(folded.study, None)
    table = pd.read_csv(folded.study.root / "tables" / "matrix.csv")
    assert {f"{SMALL} (plug-in aaaaaa)", f"{SMALL} (plug-in bbbbbb)"} <= set(table.architecture)


def test_a_network_of_a_plugin_is_held_against_its_own_version(folded):
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        for version, effect in ((OLD, 0.0), (NEW, 0.2)):
            folded.add(SMALL, "baseline", fold, plugin=version, effect=effect)
            folded.add(SMALL, "pm-kd", fold, plugin=version, effect=effect)
    found = comparisons(frames.summary(folded.study), frames.cases(folded.study))
    gains = found[(found.method == "pm-kd") & (found.against == "baseline")]
    assert set(gains.plugin) == {"plug-in aaaaaa", "plug-in bbbbbb"}
    assert gains.difference.abs().max() < 0.02


def test_one_version_is_not_spoken_of():
    jobs = pd.DataFrame(
        [
            {"id": "t", "name": "teacher", "plugin": "", "teachers": "", "source": ""},
            {"id": "s", "name": "student", "plugin": OLD, "teachers": "t", "source": ""},
            {"id": "m", "name": "made", "plugin": OLD, "teachers": "", "source": "s"},
        ]
    )
    assert plugin_versions(jobs, ["name"]) == ["", "", ""]
    # A teacher that was mended makes other students, although their own code is the same.
    again = pd.DataFrame(
        [
            {"id": "t2", "name": "teacher", "plugin": NEW, "teachers": "", "source": ""},
            {"id": "s2", "name": "student", "plugin": OLD, "teachers": "t2", "source": ""},
        ]
    )
    both = plugin_versions(pd.concat([jobs, again], ignore_index=True), ["name"])
    assert both == ["", "", "", "plug-in bbbbbb", "plug-in bbbbbb"]
