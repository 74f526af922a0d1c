"""Figures of simulated records: sizes, colours, and studies that lack something."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from PIL import Image
from samples import change_record

from bench.data import phantom
from bench.files.atomic import write_file
from bench.report import frames
from bench.report.comparisons import comparisons
from bench.report.figures import cases as panel
from bench.report.figures import figures, placing
from bench.report.figures.cost import pareto_front
from bench.report.figures.gains import logarithmic
from bench.report.figures.style import (
    MARKERS,
    ONE_COLUMN,
    TWO_COLUMNS,
    colours,
    markers,
    outline_of,
    title,
)
from bench.report.published import DISTILLED
from bench.study.predictions import pack_masks

TEACHER, SMALL = "unet-64-128-256-512", "unet-32-64"
ALL = {"dice_by_method", "dice_by_organ_size", "dice_against_cost", "gain_by_size", "gap_closed",
       "significance", "learning_curves"}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """Draw a study's figures without writing them; gives names and figures."""

    def draw(study):
        found = {}

        def keep(figure, stem):
            figure.set_dpi(40)
            figure.canvas.draw()
            found[stem.name] = figure
            return [stem]

        monkeypatch.setattr(figures, "save", keep)
        frame = frames.summary(study)
        part = "test" if frames.score_column(frame)[1] == "test" else "val"
        scored, named = frames.cases(study, part), study.settings().get("contrasts", ())
        compared = comparisons(frame[frame.status == "done"], scored, dict.fromkeys(named, ()))
        figures.write_figures(study.root / "figures", frame, scored, frames.curves(study), compared)
        return found

    yield draw
    plt.close("all")


def check_legible(figure, name):
    """One of two widths, no letter below 7 points, no text beyond the page."""
    assert 25.4 * figure.get_figwidth() in (pytest.approx(88), pytest.approx(180)), name
    page = figure.get_window_extent()
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
             for label in axis.get_ticklabels(which="both")}  # fmt: skip
    for text in figure.findobj(plt.Text):
        if text.get_text().strip() and text.get_visible():
            assert text.get_fontsize() >= 7, f"{name}: {text}"
            if text not in ticks:
                box = text.get_window_extent()
                assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, f"{name}: {text} beyond the page"


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMNS])
@pytest.mark.parametrize("letter", ["i", "m", "W"])
def test_a_title_is_on_the_page_however_wide_its_letters_are(width, letter):
    figure = plt.figure(figsize=(width, 2))
    words = " ".join([10 * letter] * 30)
    title(figure, words)
    assert figure.get_suptitle().replace("\n", " ") == words
    figure.set_dpi(300)
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.width
    plt.close(figure)


def test_every_figure_fits_a_column_of_a_journal(simulated, drawn):
    simulated.measure()
    found = drawn(simulated.fill())
    assert set(found) == ALL
    for name, figure in found.items():
        check_legible(figure, name)
        assert "liver-ct" in figure.get_suptitle()
    assert "validation" in found["dice_by_method"].get_suptitle()


def test_figures_of_folds(folded, drawn):
    """Intervals over folds where there are three, else those of these networks; the folds are counted."""
    folded.simulated.measure()
    found = drawn(folded.name(f"{SMALL}:combined").fill(range(2)).study)
    assert set(found) == ALL
    for name, figure in found.items():
        check_legible(figure, name)
        assert "2 of 5 folds" in figure.get_suptitle().replace("\n", " ")
    assert "these networks" in found["significance"].get_suptitle().replace("\n", " ")
    found = drawn(folded.fill().study)
    for name, figure in found.items():
        check_legible(figure, name)
        assert "5 folds" in figure.get_suptitle().replace("\n", " ")
    assert "interval over folds" in found["significance"].get_suptitle().replace("\n", " ")
    assert "lowest to highest fold" in found["learning_curves"].get_suptitle().replace("\n", " ")
    colours_of = [patch.get_facecolor()[:3] for patch in found["significance"].axes[0].patches]
    assert sum(max(colour) - min(colour) > 0.05 for colour in colours_of) == 1, "one claim"


def test_no_gap_draws_none(folded, drawn):
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        folded.add(SMALL, "baseline", fold, effect=0.1)
        folded.add(SMALL, "combined", fold, effect=0.12)
    assert "gap_closed" not in drawn(folded.study)


def test_files_have_the_size_they_are_printed_at(tmp_path):
    with plt.rc_context(figures.STYLE):
        figure, axis = plt.subplots(figsize=(88 / 25.4, 2))
        axis.plot([1, 2])
        paths = figures.save(figure, tmp_path / "one")
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    with Image.open(paths[0]) as image:
        assert image.size == (1039, 600), "300 dpi"
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_colours_are_told_apart_by_the_colour_blind():
    """Differences in CIELAB (CIE 1976) as seen with full protanopia, deuteranopia and tritanopia.

    Matrices: Machado, Oliveira and Fernandes 2009. 2.3 is just noticeable.
    """
    seen_by = {
        "all": np.eye(3),
        "protanopes": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                       [-0.003882, -0.048116, 1.051998]],
        "deuteranopes": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                         [-0.011820, 0.042940, 0.968881]],
        "tritanopes": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                       [0.004733, 0.691367, 0.303900]],
    }  # fmt: skip
    to_xyz = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                       [0.0193339, 0.1191920, 0.9503041]]) / [[0.95047], [1], [1.08883]]  # fmt: skip
    known = colours([])
    rgb = np.array([known[name][:3] for name in ("baseline", "pm-kd", "at-kd", "combined")])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for who, matrix in seen_by.items():
        x, y, z = np.cbrt(np.clip(linear @ np.array(matrix).T, 0, 1) @ to_xyz.T).T
        lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 10, who


def test_a_method_and_a_network_look_alike_in_every_study():
    assert colours(["combined"])["combined"] == colours(["baseline", "combined", "mine"])["combined"]
    assert markers([SMALL])[SMALL] == markers([TEACHER, SMALL, "unet-4-8"])[SMALL] == MARKERS[SMALL]
    others = markers(["unet-4-8", "unet-2-4"])
    assert len({others["unet-4-8"], others["unet-2-4"], *MARKERS.values()}) == len(MARKERS) + 2


def test_twelve_networks_and_methods_are_told_apart():
    networks = [f"unet-{2**k}" for k in range(12)]
    marks = {name: mark for name, mark in markers([*networks, SMALL]).items() if name in networks}
    assert len({outline_of(mark) for mark in [*marks.values(), MARKERS[SMALL]]}) == 13
    methods = [f"method-{k}" for k in range(12)]
    assert len({tuple(colours(methods)[name]) for name in methods}) == 12


def drawn_marks(figure):
    """Colours and markers of all signs in a figure, legends aside."""
    return {
        (to_hex(line.get_markeredgecolor()), line.get_marker())
        for axis in figure.axes for line in axis.lines
        if line.get_marker() not in ("None", "none", "", ".", "_") and line.get_alpha() != 0
    }  # fmt: skip


def test_a_network_has_its_marker_in_every_figure(simulated, drawn):
    """Though the teacher and unet-4-8 are not in all of them."""
    simulated.measure()
    for name in ("unet-4-8", "unet-6-8"):
        for method in ("baseline",) if name == "unet-4-8" else ("baseline", "combined"):
            simulated.add(name, method, 0)
    found = drawn(simulated.fill(seeds=1, students=1))
    wanted = markers(["unet-4-8", "unet-6-8"])
    assert {mark for _, mark in drawn_marks(found["gain_by_size"])} == {wanted["unet-6-8"], wanted[SMALL]}
    everything = {wanted[name] for name in ("unet-4-8", "unet-6-8", SMALL, TEACHER)}
    assert {mark for _, mark in drawn_marks(found["dice_against_cost"])} == everything


def test_figures_announce_only_what_they_draw(simulated, drawn):
    """Five patients have no interval, one seed no band, weights that were given no kept epoch."""
    simulated.patients = 5
    study = simulated.fill(seeds=1, students=1)
    for job in study.jobs():
        change_record(study, job.id, lambda record: record.update(best_epoch=None))
    found = drawn(study)
    for name, figure in found.items():
        text = figure.get_suptitle().replace("\n", " ")
        assert "interval" not in text, name
        assert "band" not in text, name
        assert "dot" not in text, name
        assert "open" not in text, name


def test_curves_of_what_was_changed_after_training_say_so(simulated, drawn):
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    shown = {"method": "PM + AT", "rank": 3, "changed": "", "graph": f"{SMALL}+combined", "finished": True}
    change_record(study, simulated.job(SMALL, "combined", 0).id, lambda record: record.update(shown=shown))
    text = drawn(study)["learning_curves"].get_suptitle().replace("\n", " ")
    assert text.endswith("dot: the epoch kept; of networks that were changed after training: before it")


def test_what_leaves_the_frame_of_the_gap_is_named_not_drawn(folded, drawn):
    """One student's gap is plain, one's has an interval beyond 200 %, one has none."""
    folded.simulated.sd_patient = folded.simulated.sd_residual = 0.001
    levels = {SMALL: 0.0, "unet-32-64-128": 0.1}
    for fold in range(5):
        folded.add(TEACHER, "baseline", fold, effect=0.0)
        for network, effect in levels.items():
            folded.add(network, "baseline", fold, effect=effect)
            folded.add(network, "combined", fold, effect=effect + 0.03)
        folded.add(SMALL, "pm-kd", fold, effect=0.3)
    figure = drawn(folded.study)["gap_closed"]
    [axis] = figure.axes
    assert sorted(text.get_text() for text in axis.texts) == ["no gap", "open"]
    text = figure.get_suptitle().replace("\n", " ")
    assert "open: its interval is not within −100% … 200%" in text
    assert "no gap: less than 2 points" in text
    assert -1 <= axis.get_ylim()[0] <= axis.get_ylim()[1] <= 2
    check_legible(figure, "gap_closed")


def test_signs_that_would_hide_each_other_stand_side_by_side(simulated, drawn):
    simulated.measure()
    found = drawn(simulated.fill(seeds=1))
    for name in ("dice_against_cost", "gain_by_size"):
        figure = found[name]
        for axis in (axis for axis in figure.axes if axis.get_visible()):
            signs = [
                line
                for line in axis.lines
                if line.get_marker() not in ("None", "") and line.get_alpha() != 0
            ]
            places = np.array([line.get_transform().transform(line.get_xydata())[0] for line in signs])
            apart = np.hypot(*(places[:, None] - places[None]).T) + 1e9 * np.eye(len(places))
            assert apart.min() > 0.9 * 5.5 * figure.dpi / 72, name
        assert "side" in figure.get_suptitle().replace("\n", " "), "and it is said"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=30))
def test_places_are_apart(places):
    x, y = np.array(places, dtype=float).T
    by = placing.swarm(np.column_stack([x, y]), 2.0, 1000.0)
    moved = np.column_stack([x + by, y])
    distance = np.hypot(*(moved[:, None] - moved[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(x))
    assert distance.min() > 1.99
    alone = x + placing.apart(x, 2.0)
    assert np.diff(np.sort(alone)).min(initial=9) > 1.99
    assert (np.argsort(alone, kind="stable") == np.argsort(x, kind="stable")).all()


def test_an_unfinished_study_says_so_above_its_figures(simulated, drawn):
    simulated.study.plan(simulated.job(SMALL, "pm-kd", 5))
    found = drawn(simulated.fill(seeds=1, students=1))
    for name, figure in found.items():
        assert "5 of 6 jobs" in figure.get_suptitle().replace("\n", " "), name


def test_records_of_before_organ_sizes_were_kept_lack_that_figure(simulated, drawn):
    study = simulated.fill(seeds=1, students=1)
    for job in study.jobs():
        change_record(
            study, job.id, lambda record: [row.pop("organ_size") for row in record["val"]["rows"]]
        )
    found = drawn(study)
    assert set(found) == ALL - {"dice_by_organ_size"}
    for name, figure in found.items():
        check_legible(figure, name)


def test_one_teacher_alone(simulated, drawn):
    found = drawn(simulated.fill(seeds=1, students=0))
    assert set(found) == {"dice_by_method", "dice_by_organ_size", "learning_curves"}


@pytest.mark.parametrize("method", ["baseline", "combined"])
def test_one_method_only(simulated, drawn, method):
    found = drawn(simulated.fill(seeds=1, names=(method,)))
    assert {"dice_by_method", "dice_against_cost", "learning_curves"} <= set(found)
    assert "significance" not in found, "nothing to compare with"


def test_scores_that_are_no_numbers_and_failed_jobs(simulated, drawn):
    study = simulated.fill(seeds=2, students=2)

    def nothing(record):
        record["val"]["dice"] = None
        for row in record["val"]["rows"]:
            row["dice"] = None
        for row in record["curves"]:
            row["dice_val"] = row["seg"] = None

    change_record(study, simulated.job(SMALL, "pm-kd", 0).id, nothing)
    for seed in (0, 1):
        change_record(study, simulated.job("unet-32-64-128", "combined", seed).id, nothing)
        job = simulated.job(SMALL, "at-kd", seed)
        change_record(
            study, job.id, lambda record: (record.pop("val"), record.update(status="failed", reason="x"))
        )
    assert set(drawn(study)) == ALL


def test_nothing_done(simulated, drawn):
    assert drawn(simulated.study) == {}
    job = simulated.add(TEACHER, "baseline", 0)
    change_record(
        simulated.study, job.id, lambda record: (record.pop("val"), record.update(status="failed"))
    )
    assert drawn(simulated.study) == {}


def test_dice_against_labels_has_a_line_for_each_way_of_using_the_teacher(simulated, drawn):
    for seed in range(2):
        simulated.add(TEACHER, "baseline", seed)
        for labels, harm in ((4, -0.2), (8, -0.1), (None, 0.0)):
            simulated.add(SMALL, "baseline", seed, labels=labels, effect=harm)
            if labels is not None:
                for known in ("same", "all"):
                    more = {"labels": labels, "teacher_labels": known, "unlabelled": "maps"}
                    simulated.add(SMALL, "pm-kd", seed, effect=harm / 2, **more)
    middle = simulated.add("unet-32-64-128", "combined", 0)
    for labels in (4, None):  # an assistant, and a student of its; neither is a line
        simulated.add("unet-32-64-128", "combined", 1, labels=labels)
        simulated.add(SMALL, "combined", 0, labels=labels, teachers=(middle.id,))
    simulated.add(SMALL, "at-kd", 0, parameters=(("weight", 5.0),))  # a point is no line
    simulated.add(SMALL, "baseline", 0, labels=4, image_size=64, effect=-0.6)  # nor is another size of it
    figure = drawn(simulated.study)["dice_by_labels"]
    check_legible(figure, "dice_by_labels")
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert set(lines) == {"plain", "PM, on all images", "PM, teacher saw all labels, on all images"}
    assert [text.get_text() for text in axis.get_xticklabels()] == ["4", "8", "all"]
    plain = lines["plain"].get_ydata()
    assert list(plain) == sorted(plain) and len(plain) == 3
    own = frames.summary(simulated.study).query(
        "architecture == @SMALL and method == 'baseline' and labels == '4'"
    )
    fours = own.dice_val[own.image_size == 96]
    assert plain[0] == pytest.approx(fours.mean())
    band = axis.collections[0].get_paths()[0].vertices
    first = band[band[:, 0] == 0][:, 1]
    assert (first.min(), first.max()) == pytest.approx((fours.min(), fours.max()))
    assert fours.min() < fours.max()
    assert (lines["PM, on all images"].get_ydata() > plain[:2]).all()


def test_a_method_that_never_has_its_default_parameters_is_shown_with_those_it_has(simulated, drawn):
    for seed in range(2):
        simulated.add(TEACHER, "baseline", seed)
        simulated.add(SMALL, "baseline", seed)
        simulated.add(SMALL, "pm-kd", seed, parameters=(("weight", 1.0),))
    found = drawn(simulated.study)
    assert "PM[weight=1.0]" in found["dice_by_method"].get_suptitle()
    assert "PM" in {text.get_text() for text in found["dice_by_method"].legends[0].get_texts()}


def test_another_loss_says_so_in_its_own_figures(simulated, drawn):
    simulated.fill(seeds=1, students=1)
    for method in ("baseline", "combined"):
        simulated.add(SMALL, method, 0, seg_loss="bce")
    found = drawn(simulated.study)
    assert set(found) >= {"dice_by_method", "dice_by_method_bce", "gain_by_size_bce"}
    assert "L_seg bce" in found["dice_by_method_bce"].get_suptitle()
    assert "L_seg" not in found["dice_by_method"].get_suptitle()


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_nothing_else_beats(points):
    cost, score = (pd.Series([float(point[k]) for point in points]) for k in (0, 1))
    beaten = {p for p in points for q in points if q[0] <= p[0] and q[1] >= p[1] and q != p}
    front = pareto_front(cost, score)
    assert list(zip(front.index, front, strict=True)) == sorted(set(points) - beaten)


def test_the_panel_shows_missed_and_invented_pixels(simulated, monkeypatch):
    data = phantom.generate(patients=3, slices=2, side=32)
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    scored = [
        {"case": c, "patient": p, "dice": 0.5 + 0.1 * int(p[-1])}
        for c, p in zip(data.cases, data.patients, strict=True)
    ]
    for job in study.jobs():
        change_record(study, job.id, lambda record: record["val"].update(rows=scored))
        moved = [np.roll(mask, 2, axis=1) for mask in data.masks]
        arrays = pack_masks(moved, data.cases)
        write_file(study.path("predictions", job.id), lambda p, a=arrays: np.savez_compressed(p, **a))
    shown = []
    monkeypatch.setattr(panel, "save", lambda figure, stem: shown.append(figure) or [stem])
    frame = frames.summary(study)
    chosen = panel.chosen_jobs(frame, study, DISTILLED)
    panel.write_panel(study.root / "figures", study, data, chosen, frames.cases(study, "val"))
    lost = study.path("predictions", chosen.id.iloc[1])
    lost.rename(lost.with_suffix(".gone"))
    assert not len(panel.chosen_jobs(frame, study, DISTILLED)), "no picture without the plain student"
    [figure] = shown
    assert 25.4 * figure.get_figwidth() == pytest.approx(180)
    assert len(figure.axes) == 3 * 5
    image, truth = np.zeros((2, 2)), np.array([[1, 1], [0, 0]])
    tinted = panel.coloured(image, np.array([[1, 0], [1, 0]]), truth)
    expected = [0.6 * np.array(c) for c in (panel.CORRECT, panel.MISSED, panel.INVENTED)]
    assert np.allclose([tinted[0, 0], tinted[0, 1], tinted[1, 0]], expected)
    assert (tinted[1, 1] == 0).all()
    other = panel.coloured(image, np.array([[2, 1], [0, 0]]), truth)
    assert np.allclose(other[0, 0], 0.6 * np.array(panel.MISTAKEN)), "the object, but of another class"
    plt.close("all")


def test_without_the_usual_method_another_stands_in_for_it(simulated, monkeypatch):
    """A matrix need not hold ``combined`` for its cases to be drawn."""
    study = simulated.fill(seeds=1, students=1, names=("baseline", "pm-kd", "at-kd"))
    monkeypatch.setattr(panel, "read_predictions", lambda study, job: {})
    chosen = panel.chosen_jobs(frames.summary(study), study, DISTILLED)
    assert list(chosen.method) == ["baseline", "baseline", "at-kd"]
    assert list(chosen.architecture) == [TEACHER, SMALL, SMALL]


@given(st.floats(1e-3, 1e9), st.floats(1.05, 1e5))
def test_a_logarithmic_axis_has_a_few_ticks(low, ratio):
    figure, axis = plt.subplots()
    axis.set_xlim(low, high := low * ratio)
    logarithmic(axis)
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    plt.close(figure)
    assert 3 <= len(ticks) <= 6
