"""A run in MLflow for each job, found again by the job's id: a second matrix adds nothing twice."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.errors import UserError
from bench.job import Job
from bench.watching.trackers import facts, results, scores
from methods.extras import how_to_get

ID = "lightseg.job"
STATUS = "status"


class MLflow:
    """Talks to the tracking server or database at ``uri``; the experiment has the study's name."""

    option = "--mlflow"

    def __init__(self, uri: str, experiment: str) -> None:
        # Tried once more within seconds, not for minutes: a run that can't be tracked should say so now.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        try:
            from mlflow import MlflowClient, entities
        except ImportError as error:
            missing = how_to_get("mlflow", "mlflow", str(error))
            raise UserError(f"--mlflow {uri}: {missing}") from None
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._entities = entities
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
            self._runs = {run.data.tags[ID]: run for run in self._all_runs()}
        except Exception as error:
            raise UserError(f"--mlflow {uri}: can't be used ({error}); e.g. sqlite:///mlflow.db") from None
        self._steps: dict[str, set[int]] = {}

    def epoch(self, job: Job, row: Mapping[str, float]) -> None:
        """Log an epoch that isn't there yet."""
        self._log_epochs(self._run(job), [row])

    def finished(self, job: Job, record: Mapping[str, Any]) -> None:
        """Log what is missing of the record, and end the run."""
        run = self._run(job)
        final = results(record)
        known = run.data.metrics
        if run.data.tags.get(STATUS) == record["status"] and all(
            known.get(k) == v for k, v in final.items()
        ):
            return
        self._log_epochs(run, record.get("curves", []))
        metric, now = self._entities.Metric, _now()
        steps = len(record.get("curves", []))
        self._client.log_batch(
            run.info.run_id,
            metrics=[metric(name, value, now, steps) for name, value in final.items()],
            tags=[
                self._entities.RunTag(name, str(record.get(name, "")))
                for name in (STATUS, "reason")
                if name in record
            ],
        )
        ended = "FINISHED" if record["status"] == "done" else "FAILED"
        self._client.set_terminated(run.info.run_id, ended)

    def close(self) -> None:
        """Nothing is held open."""

    def _log_epochs(self, run: Any, rows: Iterable[Mapping[str, float]]) -> None:
        name = run.info.run_id
        if name not in self._steps:
            history = self._client.get_metric_history(name, "validation/dice")
            self._steps[name] = {metric.step for metric in history}
        metrics = []
        for row in rows:
            step = int(row["epoch"])
            if step not in self._steps[name]:
                self._steps[name].add(step)
                metrics += [self._entities.Metric(k, v, _now(), step) for k, v in scores(row)]
        if metrics:
            self._client.log_batch(name, metrics=metrics)

    def _run(self, job: Job) -> Any:
        if job.id not in self._runs:
            tags = {ID: job.id, STATUS: "running"}
            run = self._client.create_run(self._experiment, tags=tags, run_name=job.label)
            parameters = [
                self._entities.Param(name, str(value)) for name, value in facts(job).items() if value != ""
            ]
            self._client.log_batch(run.info.run_id, params=parameters)
            self._runs[job.id] = self._client.get_run(run.info.run_id)
        return self._runs[job.id]

    def _all_runs(self) -> Iterable[Any]:
        token: str | None = ""
        while token is not None:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{ID}` != ''", page_token=token or None
            )
            yield from page
            token = page.token or None


def _now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)
