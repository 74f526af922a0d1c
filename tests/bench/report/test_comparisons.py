"""Records of a known truth, compared."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from bench.report import frames
from bench.report.comparisons import comparisons, gap_closed, leaders, levels
from bench.report.statistics import MIN_PATIENTS

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"


def compare(study):
    done = frames.summary(study)
    done = done[done.status == "done"]
    cases = frames.cases(study, "val")
    return done, cases, comparisons(done, cases)


def row(compared, method, against="baseline", network=SMALL):
    found = compared[(compared.method == method) & (compared.against == against)]
    return found[found.architecture == network].squeeze()


def test_the_known_truth_is_found(simulated):
    _, _, compared = compare(simulated.fill())
    assert set(compared[compared.method == "combined"].query("against == 'baseline'").verdict) == {"gain"}
    assert set(compared[compared.method == "at-kd"].query("against == 'baseline'").verdict) == {"harm"}
    none = compared[compared.method == "pm-kd"].query("against == 'baseline'")
    assert "gain" not in set(none.verdict)
    family = compared[compared.against == "baseline"]
    assert len(family) == 9, "three methods on three students"
    assert (family.seeds == 3).all()
    assert (family.patients == 22).all()


def test_differences_are_paired_by_patient_and_seed(simulated):
    done, cases, compared = compare(simulated.fill())
    means = cases.groupby(["architecture", "method", "seed", "patient"]).dice.mean()
    ours, theirs = means[SMALL, "combined"], means[SMALL, "baseline"]
    found = row(compared, "combined")
    assert found.difference == pytest.approx((ours - theirs).mean())
    per_seed = (ours - theirs).groupby("seed").mean()
    assert [float(x) for x in found.per_seed.split()] == pytest.approx(list(per_seed), abs=1e-6)
    assert found.sd_seeds == pytest.approx(per_seed.std())
    assert found.low < found.difference < found.high
    to_teacher = (ours - means[TEACHER, "baseline"]).mean()
    assert row(compared, "combined", "teacher").difference == pytest.approx(to_teacher)
    plain = levels(done, cases).query("architecture == @SMALL and method == 'baseline'").squeeze()
    assert plain.dice == pytest.approx(theirs.mean())


def test_as_good_as_the_teacher_is_non_inferiority(simulated):
    simulated.sd_patient = 0.005
    for seed in range(3):
        simulated.add(TEACHER, "baseline", seed, effect=0.0)
        for network, effect in (("unet-32-64-128-256", 0.012), ("unet-32-64-128", 0.03), (SMALL, 0.03)):
            simulated.add(network, "baseline", seed)
            simulated.add(network, "combined", seed, effect=effect)
    _, _, compared = compare(simulated.study)
    # Their levels beside the teacher's 0.84: 0.832, 0.82 (on the margin), 0.77.
    verdicts = [row(compared, "combined", "teacher", n).verdict
                for n in ("unet-32-64-128-256", "unet-32-64-128", SMALL)]  # fmt: skip
    assert verdicts == ["as good", "open", "worse"]
    assert not (compared.architecture == TEACHER).any(), "a teacher is compared with nothing"


@pytest.mark.parametrize(
    ("seeds", "patients", "says"),
    [(2, 22, "none (2 seeds)"), (1, 22, "none (1 seed)"), (3, 5, "none (5 patients)")],
)
def test_too_few_say_so_and_claim_nothing(simulated, seeds, patients, says):
    simulated.patients = patients
    done, cases, compared = compare(simulated.fill(seeds, students=1))
    assert set(compared.verdict) == {says}
    assert compared.low.isna().all() == (patients < MIN_PATIENTS)
    assert leaders(done, cases) == set()


def test_only_seeds_that_both_have_are_compared(simulated):
    simulated.fill(seeds=2, students=1)
    simulated.add(SMALL, "combined", 2)
    _, _, compared = compare(simulated.study)
    assert row(compared, "combined").seeds == 2


def test_identical_scores_are_no_difference(simulated):
    simulated.fill(students=1, names=("baseline", "combined"))
    for seed in range(3):
        paths = [simulated.study.path("records", simulated.job(SMALL, m, seed).id)
                 for m in ("baseline", "combined")]  # fmt: skip
        plain, distilled = (json.loads(path.read_text()) for path in paths)
        paths[1].write_text(json.dumps(distilled | {"val": plain["val"]}))
    _, _, compared = compare(simulated.study)
    found = row(compared, "combined")
    assert (found.difference, found.low, found.high, found.p_holm) == (0, 0, 0, 1)
    assert found.verdict == "not significant"


def test_patients_without_a_score_are_left_out_of_the_pair(simulated):
    simulated.fill(students=1, names=("baseline", "combined"))
    for seed in range(3):
        path = simulated.study.path("records", simulated.job(SMALL, "combined", seed).id)
        record = json.loads(path.read_text())
        for case in record["val"]["rows"]:
            if case["patient"] == "p3":
                case["dice"] = None
        path.write_text(json.dumps(record))
    _, _, compared = compare(simulated.study)
    assert row(compared, "combined").patients == 21


def test_another_loss_is_another_family_with_its_own_baseline(simulated):
    simulated.fill(students=1)
    for seed in range(3):
        simulated.add(SMALL, "baseline", seed, effect=-0.2, seg_loss="bce")
        simulated.add(SMALL, "combined", seed, effect=-0.1, seg_loss="bce")
        simulated.add(SMALL, "pm-kd[temperature=2]", seed, effect=0.02)
    _, _, compared = compare(simulated.study)
    tests = compared[compared.against == "baseline"]
    weak = tests[tests.seg_loss == "bce"].squeeze()
    assert weak.p_holm == weak.p, "alone in its family"
    assert weak.difference == pytest.approx(0.1, abs=0.02)
    tuned = tests[~tests.standard.astype(bool)].squeeze()
    assert tuned.p_holm == tuned.p
    usual = tests[tests.standard.astype(bool) & (tests.seg_loss == "dice-bce")]
    assert usual.p_holm.min() == pytest.approx(3 * usual.p.min())
    against = compared[(compared.against == "teacher") & (compared.seg_loss == "bce")]
    assert set(against.method) == {"baseline", "combined"}, "the weak recipe has the usual teacher"


def test_mean_and_ranks_that_point_apart_are_no_claim(simulated):
    """All patients but two gain a little, and those two lose so much that the mean is below zero."""
    simulated.sd_patient = simulated.sd_seed = simulated.sd_residual = 0
    simulated.fill(students=1, names=("baseline", "combined"))
    for seed in range(3):
        path = simulated.study.path("records", simulated.job(SMALL, "combined", seed).id)
        record = json.loads(path.read_text())
        for case in record["val"]["rows"]:
            case["dice"] -= 0.025 if case["patient"] not in ("p0", "p1") else 0.4
        path.write_text(json.dumps(record))
    _, _, compared = compare(simulated.study)
    found = row(compared, "combined")
    assert found.p_holm < 0.05
    assert found.difference < 0
    assert found.verdict == "not significant"


def test_the_best_is_who_can_not_be_beaten(simulated):
    done, cases, _ = compare(simulated.fill(students=1))
    assert {cell.method for cell in leaders(done, cases)} == {"combined"}
    for seed in range(3):
        simulated.add(SMALL, "pm-kd", seed, effect=0.029)
    done, cases, _ = compare(simulated.study)
    assert {cell.method for cell in leaders(done, cases)} == {"combined", "pm-kd"}


def test_the_share_of_the_gap(simulated):
    simulated.sd_patient = simulated.sd_residual = simulated.sd_seed = 0.001
    done, cases, _ = compare(simulated.fill(students=1))
    shares = gap_closed(done, cases).set_index("method").share
    assert shares["combined"] == pytest.approx(0.03 / 0.1, abs=0.05)
    assert shares["at-kd"] == pytest.approx(-0.03 / 0.1, abs=0.05)


def test_no_gap_has_no_share(simulated):
    for seed in range(3):
        simulated.add(TEACHER, "baseline", seed, effect=0.0)
        simulated.add(SMALL, "baseline", seed, effect=0.1)
        simulated.add(SMALL, "combined", seed, effect=0.12)
    done, cases, _ = compare(simulated.study)
    assert len(gap_closed(done, cases)) == 0


def test_a_lone_teacher_and_an_empty_study(simulated):
    done, cases, compared = compare(simulated.study)
    assert (len(compared), len(levels(done, cases)), leaders(done, cases)) == (0, 0, set())
    done, cases, compared = compare(simulated.fill(seeds=1, students=0))
    assert len(compared) == 0
    assert len(gap_closed(done, cases)) == 0
    [level] = levels(done, cases).itertuples()
    assert level.low < level.dice < level.high


def test_scores_that_are_no_numbers_compare_to_nothing(simulated):
    simulated.fill(students=1, names=("baseline", "combined"))
    for seed in range(3):
        path = simulated.study.path("records", simulated.job(SMALL, "combined", seed).id)
        record = json.loads(path.read_text())
        for case in record["val"]["rows"]:
            case["dice"] = None
        path.write_text(json.dumps(record))
    done, cases, compared = compare(simulated.study)
    assert not (compared.method == "combined").any()
    found = levels(done, cases).set_index(["architecture", "method"]).dice
    assert math.isnan(found[SMALL, "combined"])
    assert leaders(done, cases) == set()
    assert isinstance(compared, pd.DataFrame)
    assert np.isfinite(compared.difference).all()
