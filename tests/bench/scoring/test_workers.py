"""How many jobs at a time: measured once, kept, and overruled by whoever says a number."""

import json

import pytest
import short_jobs
from samples import a_setting

from bench.compute import quiet
from bench.planning.cells import cells
from bench.planning.estimates import training_flops
from bench.planning.matrix import parse_matrix
from bench.scoring import workers

MATRIX = {"teacher": "unet-8-16", "students": ["unet-2", "unet-4"], "methods": ["baseline", "pm-kd"]}
METHODS = ["baseline", "pm-kd", "at-kd", "combined"]
SETTING = a_setting(dataset="phantom", image_size=16, can_compile=False, train_cases=64)


def planned(**changes):
    return [cell.job for cell in cells(parse_matrix(MATRIX | changes, "x"), SETTING)]


def test_the_predicted_time_by_hand():
    jobs = planned()
    work = {job.label.split()[0]: training_flops(job, 64) for job in jobs}
    teacher, recording = work["unet-8-16:baseline"], work["unet-8-16:baseline"] / 3
    two, four = work["unet-2:baseline"], work["unet-4:baseline"]

    def predicted(threads, teachers, speeds):
        each = {job.id: teachers if job.architecture == "unet-8-16" else threads for job in jobs}
        flops = {job.id: training_flops(job, 64) for job in jobs}
        return workers.makespan(jobs, flops, each, speeds)

    one_at_a_time = teacher + recording + 2 * two + 2 * four
    assert predicted(2, 2, {1: 0.5, 2: 1.0}) == pytest.approx(one_at_a_time)
    # Two at a time, each at half the speed: both baselines end long before the teacher, its targets are
    # recorded on one core, its students then run side by side.
    assert two + four < teacher
    side_by_side = teacher + recording + max(two, four)
    assert predicted(1, 1, {1: 0.5, 2: 1.0}) == pytest.approx(2 * side_by_side)
    # The teacher alone with both cores: both baselines fit beside the recording.
    assert two + four < recording
    assert predicted(1, 2, {1: 0.5, 2: 1.0}) == pytest.approx(teacher + 2 * (recording + max(two, four)))


@pytest.mark.parametrize(
    ("ratio", "changes", "at_a_time", "teacher"),
    [
        (1.0, {"seeds": [0, 1, 2, 3]}, 1, None),  # nothing to gain
        (1.5, {"seeds": [0, 1, 2, 3]}, 2, None),  # several teachers keep both cores busy
        (1.1, {}, 1, None),  # the teacher is nearly all the work: its recording on one core costs more
        (1.3, {"students": ["unet-2", "unet-4", "unet-8"], "methods": METHODS}, 2, 2),  # enough that gain
        (2.0, {"methods": METHODS}, 2, None),  # a second core adds nothing
    ],
)
def test_the_choice_follows_the_measurement_and_the_jobs(ratio, changes, at_a_time, teacher):
    rounds = [(4.0, 4.0 * ratio), (2.0, 2.0 * ratio), (3.0, 30.0)]
    choice = workers.choose(planned(**changes), 64, 2, lambda job, cores: (rounds, ""))
    assert (choice["workers"], choice["threads"]) == (at_a_time, 3 - at_a_time)
    assert choice.get("teacher_threads") == teacher
    assert choice["measured"]["ratio"] == pytest.approx(ratio)
    assert choice["measured"]["network"] == "unet-2"
    assert choice["measured"]["steps_per_second_2_jobs"] == [together for _, together in rounds]


def test_a_trial_that_fails_means_one_at_a_time():
    choice = workers.choose(planned(), 64, 2, lambda job, cores: ([], "why"))
    assert (choice["workers"], choice["threads"]) == (1, 2)


def test_the_trial_itself(monkeypatch):
    monkeypatch.setattr(workers, "ROUNDS", 1)
    quietly(monkeypatch, False)
    trials = []
    monkeypatch.setattr(workers, "_fault", lambda rounds, cores: trials.append(rounds) or "")
    assert workers.rates(planned()[1], 2) == (trials[0], "")
    [[(alone, together)]] = trials
    assert alone > 0
    assert together > 0


def quietly(monkeypatch, busy):
    monkeypatch.setattr(quiet, "is_busy", lambda: busy)
    monkeypatch.setattr(quiet, "WAIT_SECONDS", 0.0)


def trial_of(monkeypatch, *trials):
    """Let each trial have one round after the other of these."""
    rates = iter([rate for rounds in trials for pair in rounds for rate in pair])
    monkeypatch.setattr(workers, "_together", lambda *_: next(rates))
    return rates


def test_it_is_repeated_within_a_bound_while_others_use_the_machine(monkeypatch, told):
    quietly(monkeypatch, True)
    slow, fast = [(1.0, 1.0)] * 3, [(2.0, 3.0)] * 3
    left = trial_of(monkeypatch, slow, fast, slow)
    assert workers.rates(planned()[1], 2) == (fast, "the machine is busy with other things")
    assert not list(left)
    line = "workers: the machine is busy with other things; measuring again, {} of 3 times at most"
    assert told == [line.format(2), line.format(3)]


def test_what_cannot_be_is_measured_again(monkeypatch, told):
    quietly(monkeypatch, False)
    cannot, good = [(1.0, 6.3)] * 3, [(3.0, 5.0)] * 3
    trial_of(monkeypatch, cannot, good)
    assert workers.rates(planned()[1], 2) == (good, "")
    assert "2 jobs of one thread can't be 6.3 times as fast as one with 2; measuring again" in told[0]


def test_what_can_never_be_is_not_used(monkeypatch):
    quietly(monkeypatch, False)
    trial_of(monkeypatch, *[[(1.0, 6.3)] * 3] * 3)
    choice = workers.choose(planned(seeds=[0, 1, 2, 3]), 64, 2, workers.rates)
    assert (choice["workers"], choice["threads"]) == (1, 2)
    assert "6.3 times as fast" in choice["measured"]["doubt"]
    said = workers._chosen(choice, 2)
    assert said.startswith("workers: no trial of 2 jobs at once was usable (2 jobs of one thread can't be")


def test_rounds_that_differ_are_measured_again(monkeypatch, told):
    quietly(monkeypatch, False)
    trial_of(monkeypatch, [(3.0, 5.0), (2.0, 4.0), (1.0, 2.0)], [(3.0, 5.0), (2.9, 4.8), (3.1, 5.0)])
    assert workers.rates(planned()[1], 2)[1] == ""
    assert "repeats of the same differ" in told[0]


def raises(job, threads):
    raise MemoryError("too much for two at a time")


def test_a_trial_that_raises_is_none(monkeypatch, capfd):
    monkeypatch.setattr(workers, "_steps", raises)
    quietly(monkeypatch, False)
    assert workers.rates(planned()[1], 2) == ([], "a process did not come through")
    assert "too much for two at a time" in capfd.readouterr().err


@pytest.fixture
def begin(bench, tmp_path, monkeypatch):
    """Begin a study without running its jobs; how often it was measured stands in ``begin.measured``."""
    path = tmp_path / "m.yaml"
    path.write_text(json.dumps(MATRIX | {"image_size": 16, "seeds": [0, 1, 2, 3]}))
    for user in ("bench.scoring.workers", "bench.planning.session"):
        monkeypatch.setattr(f"{user}.usable_cores", lambda: 2)
    monkeypatch.setattr(workers, "MEASURE_FROM_FLOPS", 0)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    monkeypatch.setattr("bench.running.executors.local.run", lambda *_: 0)

    def measure(job, cores):
        call.measured += 1
        return [(1.0, 1.9)], ""

    monkeypatch.setattr(workers, "rates", measure)

    def call(*arguments):
        result = bench("--matrix", path, "--results", tmp_path / "s", "--device", "cpu", *arguments)
        assert result.code == 0
        return result.out

    call.measured, call.matrix = 0, path
    call.settings = lambda: json.loads((tmp_path / "s" / "study.json").read_text())
    return call


def test_a_study_is_measured_when_it_begins_and_never_again(begin):
    out = begin("--dry-run")
    assert "the ids assume one job at a time with 2 threads, for a run measures that when the study" in out
    assert "--workers would settle it" in out
    assert begin.measured == 0
    assert "2 jobs of one thread do 1.90 times the steps of one with 2" in begin()
    first = begin.settings()
    assert (first["workers"], first["threads"], first["measured"]["ratio"]) == (2, 1, 1.9)
    assert "times the steps" not in begin()
    assert "the ids assume" not in begin("--dry-run")
    assert begin.measured == 1
    assert begin.settings() == first


def test_a_number_of_workers_is_taken_as_given(begin):
    begin("--workers", 1)
    assert begin.measured == 0
    assert (begin.settings()["workers"], begin.settings()["threads"]) == (1, 2)
    assert "measured" not in begin.settings()


def test_another_number_of_workers_is_refused_and_a_matrix_only_wishes(begin, refused, tmp_path):
    begin("--workers", 1)
    begin("--workers", 1)
    line = refused("--matrix", begin.matrix, "--results", tmp_path / "s", "--device", "cpu", "--workers", 2)
    assert "study.json: the study was begun with workers 1, now it is 2" in line
    begin.matrix.write_text(json.dumps(MATRIX | {"image_size": 16, "workers": 2}))
    begin()
    assert begin.settings()["workers"] == 1


def test_little_work_is_not_measured(begin, monkeypatch):
    monkeypatch.setattr(workers, "MEASURE_FROM_FLOPS", 50e12)
    begin()
    assert begin.measured == 0
    assert begin.settings()["workers"] == 1


@pytest.mark.slow
def test_a_teacher_has_all_cores_and_its_students_one_each(bench, tmp_path, monkeypatch):
    for user in ("bench.scoring.workers", "bench.planning.session"):
        monkeypatch.setattr(f"{user}.usable_cores", lambda: 2)
    monkeypatch.setattr(workers, "MEASURE_FROM_FLOPS", 0)
    found = {"ratio": 1.3, "predicted_share_of_time": 0.9, "doubt": ""}
    choice = {"workers": 2, "threads": 1, "teacher_threads": 2, "measured": found}
    monkeypatch.setattr(workers, "choose", lambda *_: choice)
    monkeypatch.setattr("bench.commands.run_job", short_jobs.run_job)
    monkeypatch.setattr("bench.commands.profile", lambda *_: None)
    monkeypatch.setattr("bench.commands.write_report", lambda *_: None)
    path, root = tmp_path / "m.yaml", tmp_path / "s"
    path.write_text(json.dumps(MATRIX | {"image_size": 16}))
    arguments = ("--matrix", path, "--results", root, "--device", "cpu", "--no-test")
    began = bench(*arguments)
    assert began.code == 0, began.err
    assert "2 at a time, a teacher alone" in began.out
    assert began.out.index("unet-8-16:baseline seed 0: done") < began.out.index("[2/5]")
    records = [json.loads(one.read_text())["job"] for one in (root / "records").glob("*.json")]
    threads = {(job["architecture"], job["method"]): job["threads"] for job in records}
    assert threads.pop(("unet-8-16", "baseline")) == 2
    assert list(threads.values()) == [1, 1, 1, 1]
    assert "5 jobs, 5 done, 0 to run" in bench(*arguments).out
