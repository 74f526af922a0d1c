"""A job whose process can't begin or dies: the record, the log and the last lines say why."""

import signal
from types import SimpleNamespace

import pytest

from bench.errors import UserError
from bench.files import lease, stopping
from bench.planning.options import Options
from bench.running import job_process
from bench.running.executors import local
from bench.running.executors.commands import conclude, stamps
from bench.running.job_process import run_job
from bench.study.store import Study


@pytest.fixture
def planned(simulated):
    job = simulated.job("unet-32-64", "baseline", 0)
    simulated.study.plan(job)
    return simulated.study, job


@pytest.fixture
def broken(tmp_path):
    """A plug-in that fails to import."""
    path = tmp_path / "mine.py"
    path.write_text("import no_such_package\n")
    return path


@pytest.fixture(params=["plug-in", "data"])
def hindered(request, broken, tmp_path):
    """Options that keep a job from beginning, and what must be said of them."""
    if request.param == "plug-in":
        return {"plugin": (broken,)}, "mine.py: ModuleNotFoundError: No module named 'no_such_package'"
    return {"data": tmp_path / "gone"}, "gone: no such folder; --data must name the dataset's folder"


def test_a_worker_that_can_not_begin_says_why(planned, hindered, tmp_path, told):
    (study, job), (given, reason) = planned, hindered
    assert local.run(study, [job], run_job, Options(device="cpu", **given)) == 1
    record = study.record(job.id)
    assert record["status"] == "failed"
    assert reason in record["reason"], record["reason"]
    assert str(tmp_path) not in record["reason"], "no place"
    assert reason in (study.root / record["log"]).read_text()
    assert told[-1] == f"  {job.label}: failed, {record['reason']}"
    assert [path.name for path in (study.root / "logs").iterdir()] == [f"{job.id}.log"]


def test_a_job_by_hand_leaves_the_reason_and_a_cluster_reads_it(planned, hindered, refused, told):
    (study, job), (given, reason) = planned, hindered
    before = stamps(study, [job])
    words = Options(device="cpu", **given).words()
    assert reason in refused("job", study.root, job.id, *words)
    assert reason in study.record(job.id)["reason"]
    assert not conclude(study, job, before[job.id], "its process ended with exit code 2")
    assert reason in told[-1]
    before = stamps(study, [job])
    assert not conclude(study, job, before[job.id], "exit code 9")
    assert told[-1] == f"  {job.label}: no result (exit code 9); the next call runs it"


def test_a_job_by_hand_leaves_alone_what_is_done_and_what_others_do(planned, simulated, broken):
    study, job = planned
    with lease.waited_for(study.root, job.id), pytest.raises(UserError):
        run_job(study.root, job.id, Options(plugin=(broken,)))
    assert study.record(job.id) is None, "who has the lease will write it"
    simulated.add("unet-32-64", "baseline", 0)
    study.path("weights", job.id).parent.mkdir()
    study.path("weights", job.id).write_bytes(b"")
    with pytest.raises(UserError):
        run_job(study.root, job.id, Options(plugin=(broken,), no_test=True))
    assert "failure" not in study.record(job.id)


def test_an_error_of_our_own_is_said_too(planned, monkeypatch):
    study, job = planned

    def fails(*_):
        raise RuntimeError(f"no such thing in {study.root}/x")

    monkeypatch.setattr(job_process, "_run_planned", fails)
    with pytest.raises(RuntimeError):
        run_job(study.root, job.id, Options())
    assert study.record(job.id)["reason"] == "RuntimeError: no such thing in x"


def ends(root, job_id, options, quiet):
    """A job whose process ends before it has its lease."""
    raise SystemExit(7)


def test_deaths_before_the_lease_are_counted_where_all_deaths_are(planned, told):
    study, job = planned
    assert local.run(study, [job], ends, Options()) == 1
    assert study.record(job.id)["reason"] == "its process ended with exit code 7, 2 times in a row"
    assert told[1] == f"  {job.label}: its process ended with exit code 7; it begins once more"
    assert lease.deaths(study.root, job.id) == 0, "--retry-failed begins anew"


def test_every_ctrl_c_says_what_it_does(tmp_path, told):
    crew = local.Crew(Study(tmp_path), [], ends, Options(), [])
    crew.running["job"] = (None, SimpleNamespace(is_alive=lambda: False, kill=lambda: None), [])
    for line in (stopping.AFTER_SAVING, stopping.AT_ONCE):
        crew.signals.append(signal.SIGINT)
        crew.pass_on()
        assert told.pop() == line
    crew.signals.append(signal.SIGINT)
    crew.pass_on()
    assert told == []


def test_every_ctrl_c_of_one_job_says_what_it_does(capfd):
    with pytest.raises(stopping.Stopped), stopping.after_saving(tell=True):
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == f"\n{stopping.AFTER_SAVING}\n"
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == f"\n{stopping.AT_ONCE}\n"
