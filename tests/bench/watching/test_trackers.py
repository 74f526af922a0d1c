"""TensorBoard and MLflow, read back with their own readers."""

import io
import sys

import pytest
from commands import needs

from bench.files.atomic import write_json
from bench.planning.chains import Cell
from bench.planning.options import Options
from bench.study.progress import Progress
from bench.watching.beside_jobs import following
from bench.watching.trackers import open_trackers

EPOCHS = 20


@pytest.fixture
def run(simulated, told):
    """Follows one job: some epochs, then perhaps its record."""

    def go(trackers, epochs=0, record=False):
        study, job = simulated.study, simulated.job("unet-32-64", "combined", 0)
        todo = [] if study.record(job.id) else [job]
        with following(study, [Cell(job)], todo, trackers):
            progress = Progress(io.StringIO(), False, "", study.path("progress", job.id))
            for epoch in range(1, epochs + 1):
                row = {
                    "epoch": epoch,
                    "learning_rate": 1e-3,
                    "seg": 1 / epoch,
                    "loss": 2.0,
                    "dice_val": 0.5,
                }
                progress.epoch("train", row)
            if record:
                simulated.add("unet-32-64", "combined", 0)
                progress.close()
        return job, told

    return go


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events, {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_tensorboard_shows_each_epoch_once(run, simulated):
    needs("tensorboard")
    root = simulated.study.root
    job, lines = run(open_trackers(Options(results=root, tensorboard=True)), epochs=3)
    [folder] = (root / "tensorboard").iterdir()
    assert folder.name == f"unet-32-64 combined seed 0 {job.id[:6]}"
    assert [step for step, _ in scalars(folder)[1]["validation/dice"]] == [1, 2, 3]
    run(open_trackers(Options(results=root, tensorboard=True)), epochs=2)  # stopped, and begun anew
    assert [step for step, _ in scalars(folder)[1]["validation/dice"]] == [1, 2]
    run(open_trackers(Options(results=root, tensorboard=True)), epochs=2, record=True)
    events, found = scalars(folder)
    curves = simulated.study.record(job.id)["curves"]
    assert found["loss/seg"] == [(row["epoch"], pytest.approx(row["seg"])) for row in curves]
    assert [step for step, _ in found["validation/dice"]] == list(range(1, EPOCHS + 1))
    assert found["final/val_dice"][0][1] == pytest.approx(simulated.study.record(job.id)["val"]["dice"])
    assert "_hparams_/session_start_info" in events.summary_metadata
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    run(open_trackers(Options(results=root, tensorboard=True)))
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert not lines


def test_mlflow_keeps_one_run_a_job(run, simulated, tmp_path, monkeypatch):
    needs("mlflow")
    needs("sqlalchemy")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    uri, root = f"sqlite:///{tmp_path / 'mlflow.db'}", simulated.study.root
    run(open_trackers(Options(results=root, mlflow=uri)), epochs=3)
    job, lines = run(open_trackers(Options(results=root, mlflow=uri)), epochs=2, record=True)
    run(open_trackers(Options(results=root, mlflow=uri)))
    client = MlflowClient(tracking_uri=uri)
    [tracked] = client.search_runs([client.get_experiment_by_name(root.name).experiment_id])
    record = simulated.study.record(job.id)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.tags["lightseg.job"] == job.id
    assert tracked.data.tags["status"] == "done"
    assert tracked.data.params["architecture"] == "unet-32-64"
    assert tracked.data.params["method"] == "combined"
    assert tracked.data.metrics["final/val_dice"] == record["val"]["dice"]
    history = client.get_metric_history(tracked.info.run_id, "validation/dice")
    assert sorted(metric.step for metric in history) == list(range(1, EPOCHS + 1))
    assert len(client.get_metric_history(tracked.info.run_id, "final/val_dice")) == 1
    assert not lines


def test_what_cant_be_tracked_is_said_before_anything_runs(refused, tmp_path, tiny_matrix, monkeypatch):
    arguments = ("--matrix", tiny_matrix, "--results", tmp_path / "s")
    if sys.modules.get("mlflow") or needs("mlflow"):
        assert "--mlflow nonsense://x: can't be used (" in refused(*arguments, "--mlflow", "nonsense://x")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert "the package mlflow is missing" in refused(*arguments, "--mlflow", "sqlite:///a.db")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "the package tensorboard is missing" in refused(*arguments, "--tensorboard")
    assert not (tmp_path / "s").exists()


def test_a_tracker_that_breaks_is_left_and_the_job_goes_on(run, simulated):
    class Broken:
        option = "--broken"
        calls = 0

        def finished(self, job, record):
            self.calls += 1
            raise ConnectionError("nobody there")

        def epoch(self, job, row):
            raise AssertionError

        def close(self):
            pass

    broken = Broken()
    write_json(simulated.study.root / "unrelated.json", {})
    _, lines = run([broken], record=True)
    assert broken.calls == 1
    [line] = lines
    assert line.startswith("--broken: ConnectionError: nobody there; nothing more is tracked")
