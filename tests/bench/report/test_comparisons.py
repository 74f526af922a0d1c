"""Records of a known truth, compared."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import change_record
from scipy.stats import t

from bench.files.atomic import write_json
from bench.planning.contrasts import jobs_of
from bench.report import frames
from bench.report.captions import cautions
from bench.report.cells import groups
from bench.report.comparisons import comparisons, leaders, levels
from bench.report.doubts import patients
from bench.report.gaps import gap_closed
from bench.report.standard import standard
from bench.report.statistics import MIN_PATIENTS

TEACHER, SMALL, MIDDLE = "unet-64-128-256-512", "unet-32-64", "unet-32-64-128"
NAMED = tuple(f"{SMALL}:{method}" for method in ("pm-kd", "at-kd", "combined"))


def compare(study, part="val"):
    done = frames.summary(study)
    done = done[done.status == "done"]
    cases = frames.cases(study, part)
    return done, cases, comparisons(done, cases, study.contrasts())


def keep_jobs(study, **jobs):
    """Write which jobs the contrasts of the smallest student stand for, by method."""
    named = {f"{SMALL}:{method}": ids for method, ids in jobs.items()}
    write_json(study.root / "study.json", study.settings() | {"contrast_jobs": named})


def row(compared, method, against="baseline", network=SMALL):
    found = compared[(compared.method == method) & (compared.against == against)]
    return found[found.architecture == network].squeeze()


def rewrite(study, job_id, edit):
    """Change the rows of a record."""

    def every_row(record):
        for part in ("val", "test"):
            for case in record.get(part, {}).get("rows", ()):
                edit(case)

    change_record(study, job_id, every_row)


def test_the_known_truth_is_found(folded):
    _, _, compared = compare(folded.name(*NAMED).fill(networks=(SMALL, MIDDLE)).study, "test")
    verdicts = {method: row(compared, method).verdict for method in ("pm-kd", "at-kd", "combined")}
    assert verdicts == {"pm-kd": "not significant", "at-kd": "harm", "combined": "gain"}
    others = compared[(compared.against == "baseline") & (compared.architecture == MIDDLE)]
    assert set(others.verdict) == {"descriptive"}, "they were not named, however clear they are"
    assert others.p_holm.isna().all()
    assert others.p.min() < 0.01, "but what was found is there"
    family = compared[compared.against == "baseline"]
    assert set(family.folds) == {5}
    assert set(family.patients) == {60}
    assert set(family.seeds) == {1}


def test_a_claim_follows_from_fold_means_by_hand(folded):
    """Differences, Nadeau and Bengio's error and Holm's p, computed from the records alone."""
    study = folded.name(*NAMED).fill(seeds=2).study
    _, cases, compared = compare(study, "test")
    means = cases.groupby(["method", "architecture", "fold", "seed", "patient"]).dice.mean()
    p = {}
    for method in ("pm-kd", "at-kd", "combined"):
        paired = (means[method, SMALL] - means["baseline", SMALL]).groupby(["fold", "patient"]).mean()
        folds = paired.groupby("fold").mean().to_numpy()
        error = math.sqrt((1 / 5 + 12 / 80) * folds.var(ddof=1))  # 12 of 60 tested, 80 trained on
        found = row(compared, method)
        assert found.difference == pytest.approx(folds.mean())
        assert [float(x) for x in found.of_each.split()] == pytest.approx(list(folds), abs=1e-6)
        assert found.sd == pytest.approx(folds.std(ddof=1))
        reach = t(4).ppf(0.975) * error
        assert (found.low_method, found.high_method) == pytest.approx(
            (folds.mean() - reach, folds.mean() + reach)
        )
        p[method] = 2 * t(4).sf(abs(folds.mean()) / error)
        assert found.p == pytest.approx(p[method])
        assert found.smallest == pytest.approx(t(4).ppf(1 - 0.05 / 6) * error)
        assert found.low < paired.mean() < found.high
        assert (found.folds, found.seeds) == (5, 2)
    ordered = sorted(p, key=p.__getitem__)
    step, expected = 0.0, {}
    for k, method in enumerate(ordered):
        step = max(step, (3 - k) * p[method])
        expected[method] = min(step, 1)
    assert {m: row(compared, m).p_holm for m in p} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("folds", "says"), [(1, "none (1 fold)"), (2, "none (2 folds)"), (0, "none (no folds)")]
)
def test_too_few_folds_say_so_and_claim_nothing(simulated, folded, folds, says):
    if folds:
        study, part = folded.name(*NAMED).fill(range(folds)).study, "test"
    else:
        study, part = simulated.fill(students=1), "val"
    done, cases, compared = compare(study, part)
    assert set(compared.verdict) == {says}
    assert compared.low_method.isna().all()
    assert compared.smallest.isna().all()
    assert leaders(done, cases) == set()


def test_nothing_is_claimed_before_all_folds_are_there(folded):
    """Three looks at a study would be three chances of a false claim."""
    for fold in (3, 4):
        done, cases, early = compare(folded.name(*NAMED).fill(range(fold)).study, "test")
        assert set(early.verdict) == {f"none ({fold} of 5 folds)"}
        assert early.low_method.notna().all(), "what was found so far is there"
        assert leaders(done, cases) == set(), "no cell is bold by a claim that can't be made"
    done, cases, compared = compare(folded.fill().study, "test")
    assert row(compared, "combined").verdict == "gain"
    assert leaders(done, cases)


def test_a_contrast_is_of_its_own_jobs_and_of_all_of_them(folded):
    """Seeds are looks like folds are: none is claimed on before all are there, none is added later."""
    study = folded.name(f"{SMALL}:combined").fill(names=("baseline",), seeds=2).study
    ids = [folded.add(SMALL, "combined", fold, seed) for seed in range(2) for fold in range(5)]
    study.path("records", ids[-1]).rename(study.root / "record.json")
    keep_jobs(study, combined=ids)
    assert row(compare(study, "test")[2], "combined").verdict == "none (9 of 10 jobs)"
    (study.root / "record.json").rename(study.path("records", ids[-1]))
    before = row(compare(study, "test")[2], "combined")
    assert (before.verdict, before.seeds) == ("gain", 2)
    folded.fill(names=("baseline",), seeds=3)
    for fold in range(5):
        folded.add(SMALL, "combined", fold, 2, effect=-0.3)
        folded.add(TEACHER, "baseline", fold, 3, effect=0.0)
        folded.add(SMALL, "baseline", fold, 3, made=40)
        folded.add(SMALL, "combined", fold, 3, made=40)
    after = row(compare(study, "test")[2], "combined")
    same = ["difference", "p", "seeds", "verdict"]
    assert list(after[same]) == list(before[same])


@pytest.mark.parametrize(
    "axes",
    [
        {"labels": [4, 16]},
        {"labels": [4], "teacher_labels": ["disjoint", "all"], "unlabelled": ["maps"]},
        {"labels": [4], "teacher_labels": ["same", "all"]},
        {"updates": [1000, 2000]},
        {"updates": [None, 2000]},
        {"image_size": [64, 96]},
        {"slices": ["", "axial"]},
        {"seg_loss": ["bce", "dice-bce"]},
    ],
    ids=str,
)
def test_a_contrast_stands_for_the_cell_that_the_main_table_shows(folded, axes):
    """The plan knows jobs, the report frames; what is usual is the same to both."""
    for values in itertools.product(*axes.values()):
        for method in ("baseline", "combined"):
            folded.add(SMALL, method, 0, **dict(zip(axes, values, strict=True)))
    study = folded.study
    done = frames.summary(study)
    usual = standard(done[done.seg_loss == "dice-bce"])
    (named,) = jobs_of([f"{SMALL}:combined"], study.jobs()).values()
    assert named == list(usual.id[usual.method == "combined"])


def test_a_contrast_waits_for_the_plain_students_too(folded):
    study = folded.name(f"{SMALL}:combined").fill(names=("baseline",)).study
    ids = [folded.add(SMALL, "combined", fold, seed) for seed in range(2) for fold in range(5)]
    keep_jobs(study, combined=ids)
    assert row(compare(study, "test")[2], "combined").verdict == "none (5 of 10 jobs)"


def test_contrasts_that_were_kept_as_one_list_stand_for_the_same_jobs(folded):
    study = folded.name(*NAMED).fill().study
    jobs = {name: [r["id"] for r in study.records() if r["job"]["method"] == name[len(SMALL) + 1 :]]
            for name in NAMED}  # fmt: skip
    listed = [job for ids in jobs.values() for job in ids]
    write_json(study.root / "study.json", study.settings() | {"contrast_jobs": listed})
    assert {name: sorted(ids) for name, ids in study.contrasts().items()} == {
        name: sorted(ids) for name, ids in jobs.items()
    }


def test_a_contrast_that_cannot_be_claimed_yet_counts_as_one_that_found_nothing(folded):
    """What is claimed of the others must not change when its last fold comes."""
    folded.name(*NAMED).fill(names=("baseline", "combined"))
    alone = row(compare(folded.study, "test")[2], "combined")
    for fold in range(4):
        folded.add(SMALL, "pm-kd", fold, effect=0.3)
    _, _, compared = compare(folded.study, "test")
    assert row(compared, "pm-kd").verdict == "none (4 of 5 folds)"
    assert math.isnan(row(compared, "pm-kd").p_holm)
    assert row(compared, "combined").p_holm == alone.p_holm == pytest.approx(3 * alone.p)


def test_validation_scores_claim_nothing_and_count_each_patient_once(folded):
    """Validation patients have chosen each network's epoch, and lie in several folds."""
    folded.simulated.part = "val"
    study = folded.name(*NAMED).fill().study
    for record in study.records():
        rewrite(study, record["id"], lambda case: case.update(patient=f"p{int(case['patient'][1:]) % 12}"))
    done, _, compared = compare(study)
    assert set(compared.verdict) == {"none (validation scores)"}
    assert {patients(group) for _, group in groups(done)} == {12}


def test_a_contrast_stays_what_it_was_when_more_is_added(folded):
    """A larger image makes other cells the usual ones; what was named are those of before."""
    study = folded.name(*NAMED).fill().study
    _, _, before = compare(study, "test")
    jobs = {}
    for record in study.records():
        jobs.setdefault(record["job"]["method"], []).append(record["id"])
    keep_jobs(study, **{name.partition(":")[2]: jobs[name.partition(":")[2]] for name in NAMED})
    _, _, after = compare(study, "test")
    assert list(after.verdict) == list(before.verdict)
    for fold in range(5):
        for method in ("baseline", "combined"):
            folded.add(SMALL, method, fold, image_size=128)
    _, _, later = compare(study, "test")
    gains = later[later.against == "baseline"]
    kept = gains[gains.image_size == 96].set_index("method").verdict
    assert kept.to_dict() == before[before.against == "baseline"].set_index("method").verdict.to_dict()
    assert not gains[gains.image_size == 128].contrast.any()


def test_parameters_belong_to_the_name_of_a_contrast(folded):
    folded.name(f"{SMALL}:combined[temperature=2.0]").fill(names=("baseline", "combined"))
    ids = [folded.add(SMALL, "combined[temperature=2]", fold, effect=0.06) for fold in range(5)]
    study = folded.study
    keep_jobs(study, **{"combined[temperature=2.0]": ids})
    _, _, compared = compare(study, "test")
    named = compared[compared.contrast.astype(bool)]
    assert len(named) == 1
    assert "temperature=2.0" in named.method_parameters.iloc[0]
    assert named.verdict.iloc[0] == "gain"


def test_as_good_as_the_teacher_is_non_inferiority_over_folds(folded):
    folded.simulated.sd_patient = 0.005
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        for network, effect in (("unet-32-64-128-256", 0.012), (MIDDLE, 0.03), (SMALL, 0.03)):
            folded.add(network, "baseline", fold)
            folded.add(network, "combined", fold, effect=effect)
    _, _, compared = compare(folded.study, "test")
    # Their levels beside the teacher's 0.84: 0.832, 0.82 (on the margin), 0.77.
    verdicts = [row(compared, "combined", "teacher", n).verdict
                for n in ("unet-32-64-128-256", MIDDLE, SMALL)]  # fmt: skip
    assert verdicts == ["as good", "open", "worse"]
    assert not (compared.architecture == TEACHER).any(), "a teacher is compared with nothing"


def test_the_interval_over_patients_needs_no_fold_but_ten_patients(simulated):
    simulated.patients = 5
    _, _, compared = compare(simulated.fill(students=1))
    assert compared.low.isna().all()
    assert MIN_PATIENTS > 5


def test_without_folds_differences_are_paired_by_patient_and_seed(simulated):
    done, cases, compared = compare(simulated.fill())
    means = cases.groupby(["architecture", "method", "seed", "patient"]).dice.mean()
    ours, theirs = means[SMALL, "combined"], means[SMALL, "baseline"]
    found = row(compared, "combined")
    assert found.difference == pytest.approx((ours - theirs).mean())
    per_seed = (ours - theirs).groupby("seed").mean()
    assert [float(x) for x in found.of_each.split()] == pytest.approx(list(per_seed), abs=1e-6)
    assert found.sd == pytest.approx(per_seed.std())
    assert found.low < found.difference < found.high
    to_teacher = (ours - means[TEACHER, "baseline"]).mean()
    assert row(compared, "combined", "teacher").difference == pytest.approx(to_teacher)
    plain = levels(done, cases).query("architecture == @SMALL and method == 'baseline'").squeeze()
    assert plain.dice == pytest.approx(theirs.mean())


def test_only_folds_that_both_have_are_compared(folded):
    folded.name(*NAMED).fill(range(4))
    folded.add(SMALL, "combined", 4)
    _, _, compared = compare(folded.study, "test")
    assert row(compared, "combined").folds == 4
    assert row(compared, "combined").patients == 48


def test_contrasts_that_have_no_result_yet_count_in_the_family(folded):
    """What is claimed after the first contrasts does not become false by those that follow."""
    named = [f"{SMALL}:combined", *(f"{MIDDLE}:{m}" for m in ("pm-kd", "at-kd", "combined"))]
    folded.name(*named).fill(names=("baseline", "combined"))
    _, _, compared = compare(folded.study, "test")
    found = row(compared, "combined")
    assert found.p_holm == pytest.approx(4 * found.p)
    assert found.contrast
    assert compared.contrast.sum() == 1


def test_a_name_stands_for_the_standard_cell_alone(folded):
    folded.name(f"{SMALL}:combined").fill(names=("baseline", "combined"))
    for fold in range(5):
        folded.add(SMALL, "combined[temperature=2]", fold, effect=0.06)
        folded.add(SMALL, "baseline", fold, seg_loss="bce", effect=-0.1)
        folded.add(SMALL, "combined", fold, seg_loss="bce", effect=0.0)
        folded.add(SMALL, "baseline", fold, updates=2000, made=2000)
        folded.add(SMALL, "combined", fold, updates=2000, made=2000, effect=0.08)
    _, _, compared = compare(folded.study, "test")
    gains = compared[compared.against == "baseline"]
    assert len(gains) == 4
    [named] = gains[gains.contrast.astype(bool)].itertuples()
    assert (named.standard, named.seg_loss, named.updates_asked) == (True, "dice-bce", "")
    assert named.p_holm == named.p, "alone in its family"
    assert set(gains.verdict[~gains.contrast.astype(bool)]) == {"descriptive"}


def test_a_baseline_agrees_in_labels_and_updates_and_is_never_a_teacher_of_others(folded):
    """Labels of four patients: a plain student of its own, maps for others, a teacher that saw half."""
    folded.fill(names=("baseline", "combined"))
    for fold in range(5):
        few = {"labels": 4}
        folded.add(SMALL, "baseline", fold, effect=-0.2, **few)
        folded.add(SMALL, "baseline", fold, effect=0.05, teacher_labels="disjoint", **few)
        folded.add(SMALL, "combined", fold, effect=-0.15, unlabelled="maps", **few)
        folded.add(SMALL, "combined", fold, effect=-0.12, teacher_labels="all", unlabelled="maps", **few)
        folded.add(SMALL, "baseline", fold, effect=0.1, updates=2000)
    _, _, compared = compare(folded.study, "test")
    gains = compared[(compared.against == "baseline") & (compared.method == "combined")]
    gains = gains.set_index(["labels", "teacher_labels", "unlabelled"]).difference
    assert gains["4", "same", "maps"] == pytest.approx(0.05, abs=0.01)
    assert gains["4", "all", "maps"] == pytest.approx(0.08, abs=0.01)
    assert gains["all", "same", "none"] == pytest.approx(0.03, abs=0.01)
    plain = compared[(compared.against == "teacher") & (compared.method == "baseline")]
    assert set(zip(plain.labels, plain.teacher_labels, plain.updates_asked, strict=True)) == {
        ("all", "same", ""), ("4", "same", ""), ("4", "disjoint", ""),
    }, "at 2000 updates nobody was taught"  # fmt: skip


def test_identical_scores_are_no_difference(folded):
    study = folded.name(f"{SMALL}:combined").fill(names=("baseline", "combined")).study
    done = frames.summary(study).set_index(["method", "architecture", "fold"]).id
    for fold in range(5):
        plain = study.record(done["baseline", SMALL, fold])
        path = study.path("records", done["combined", SMALL, fold])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"test": plain["test"]}))
    _, _, compared = compare(study, "test")
    found = row(compared, "combined")
    assert (found.difference, found.low, found.high, found.low_method, found.high_method) == (0,) * 5
    assert found.p_holm == 1
    assert found.verdict == "not significant"


def test_patients_without_a_score_are_left_out_of_the_pair(folded):
    study = folded.fill(names=("baseline", "combined")).study
    done = frames.summary(study)
    for job_id in done.id[done.method == "combined"]:
        rewrite(study, job_id, lambda case: case["patient"] == "p3" and case.update(dice=None))
    _, _, compared = compare(study, "test")
    assert row(compared, "combined").patients == 59


def test_the_best_is_who_can_not_be_beaten(folded):
    done, cases, _ = compare(folded.fill().study, "test")
    assert {cell.method for cell in leaders(done, cases)} == {"combined"}
    for fold in range(5):
        folded.add(SMALL, "pm-kd", fold, effect=0.029)
    done, cases, _ = compare(folded.study, "test")
    assert {cell.method for cell in leaders(done, cases)} == {"combined", "pm-kd"}


def test_a_lone_teacher_and_an_empty_study(simulated):
    done, cases, compared = compare(simulated.study)
    assert (len(compared), len(levels(done, cases)), leaders(done, cases)) == (0, 0, set())
    done, cases, compared = compare(simulated.fill(seeds=1, students=0))
    assert len(compared) == 0
    assert len(gap_closed(done, cases, compared)) == 0
    [level] = levels(done, cases).itertuples()
    assert level.low < level.dice < level.high


def test_scores_that_are_no_numbers_compare_to_nothing(folded):
    study = folded.fill(names=("baseline", "combined")).study
    done = frames.summary(study)
    for job_id in done.id[done.method == "combined"]:
        rewrite(study, job_id, lambda case: case.update(dice=None))
    done, cases, compared = compare(study, "test")
    assert not (compared.method == "combined").any()
    found = levels(done, cases).set_index(["architecture", "method"]).dice
    assert math.isnan(found[SMALL, "combined"])
    assert leaders(done, cases) == set()
    assert isinstance(compared, pd.DataFrame)
    assert np.isfinite(compared.difference).all()


def test_two_given_teachers_are_two_rows_and_no_plain_student(folded):
    """Two files of weights, one of them of the student's own network, and two folders of maps."""
    gains = {"a" * 64: 0.06, "b" * 64: -0.04}
    for fold in range(3):
        folded.add(SMALL, "baseline", fold)
        for weights, gain in gains.items():
            teacher = folded.add(SMALL, "baseline", fold, weights=weights, effect=2 * gain)
            folded.add(SMALL, "pm-kd", fold, teachers=(teacher,), effect=gain)
            folded.add(SMALL, "combined", fold, teachers=(), maps=weights, effect=gain)
    done, _, compared = compare(folded.study, "test")
    gained = compared[(compared.against == "baseline") & (compared.given == "")]
    found = gained.set_index(["method", "teacher"]).difference
    for method, name in (("pm-kd", f"{SMALL} (given {{}})"), ("combined", "given maps {}")):
        for weights, gain in gains.items():
            assert found[method, name.format(weights[:6])] == pytest.approx(gain, abs=0.02)
    assert (gained.folds == 3).all()
    assert compared.beyond_twin.isna().all(), "no network here is a student's plain twin"
    assert "plain twin" not in cautions(done)
    assert len(
        {tuple(row) for row in standard(done)[["architecture", "method", "fold"]].to_numpy()}
    ) == len(standard(done))


def test_where_nobody_knows_whom_the_teacher_saw_nothing_is_said(folded):
    study = folded.name(*NAMED).fill().study
    write_json(study.root / "study.json", study.settings() | {"teacher_saw": "unknown"})
    done, cases, compared = compare(study, "test")
    assert set(compared.verdict) == {"none (nobody knows whom the teacher saw)"}
    assert leaders(done, cases) == set()


# Properties, on frames made by hand.


def made(differences, train_patients=40, contrasts=(f"{SMALL}:combined",)):
    """The comparison of two cells; ``differences``: of each fold, those of its patients."""
    rows, jobs = [], []
    for fold, own in enumerate(differences):
        for method in ("baseline", "combined"):
            name = f"{method}{fold}"
            jobs.append({"id": name, "method": method, "fold": fold, "seed": fold})
            for k, value in enumerate(own):
                dice = 0.5 + (value if method == "combined" else 0.0)
                rows.append(
                    {
                        "id": name,
                        "fold": fold,
                        "seed": fold,
                        "patient": f"{fold}-{k}",
                        "case": f"{fold}-{k}",
                        "dice": dice,
                    }
                )
    done = pd.DataFrame(jobs).assign(
        dataset="x", image_size=96, spatial_dims=2, seg_loss="dice-bce", architecture=SMALL, variant="",
        method_parameters="", changed="", teacher="", teachers="", labels="all", teacher_labels="same",
        unlabelled="none", updates_asked="", slices="", drawn="", given="", plugin="", teacher_saw="",
        parameters=1, folds=len(differences), train_patients=train_patients, status="done", dice=0.5,
        dice_val=0.5, updates=500, val_falls=False,
    )  # fmt: skip
    done["scored_on"] = [frozenset(range(10))] * len(done)
    [found] = comparisons(done, pd.DataFrame(rows), dict.fromkeys(contrasts, ())).itertuples()
    return found


FOLDS = st.lists(
    st.lists(st.integers(-200, 200), min_size=1, max_size=4), min_size=3, max_size=6
)  # in thousandths of Dice


def dice(folds):
    return [[value / 1000 for value in own] for own in folds]


@given(FOLDS, st.randoms())
@settings(max_examples=8, deadline=None)
def test_the_order_of_folds_and_patients_says_nothing(folds, random):
    one = made(dice(folds))
    for own in folds:
        random.shuffle(own)
    random.shuffle(folds)
    other = made(dice(folds))
    for name in ("difference", "low_method", "high_method", "p", "p_holm", "smallest", "sd"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9, nan_ok=True), name


@given(FOLDS, st.integers(-200, 200))
@settings(max_examples=8, deadline=None)
def test_a_shift_of_all_patients_moves_the_interval_by_itself(folds, shift):
    one, other = made(dice(folds)), made(dice([[value + shift for value in own] for own in folds]))
    for name in ("difference", "low_method", "high_method"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) + shift / 1000, abs=1e-9)
    assert other.smallest == pytest.approx(one.smallest, abs=1e-9)


@given(FOLDS)
@settings(max_examples=8, deadline=None)
def test_more_named_contrasts_never_make_a_claim_easier(folds):
    one = made(dice(folds))
    six = made(dice(folds), contrasts=(f"{SMALL}:combined", *(f"other:{k}" for k in range(5))))
    assert six.p_holm >= one.p_holm
    assert six.smallest >= one.smallest
    assert made(dice(folds), train_patients=10).smallest >= one.smallest, "fewer to train on, less certain"
