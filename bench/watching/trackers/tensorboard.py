"""Curves for TensorBoard: a folder a job in the study's ``tensorboard/``.

While a job runs its epochs are appended; when it has a record its folder is written again from that alone,
so that whatever happened on the way, no step is there twice and none is missing.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.job import Job
from bench.watching.states import written
from bench.watching.trackers import facts, results, scores
from methods.extras import how_to_get


class TensorBoard:
    """Writes event files."""

    option = "--tensorboard"

    def __init__(self, root: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            missing = how_to_get("tensorboard", "tensorboard", str(error))
            raise UserError(f"--tensorboard: {missing}") from None
        self._root = root
        self._writer = SummaryWriter
        self._open: dict[str, Any] = {}

    def epoch(self, job: Job, row: Mapping[str, float]) -> None:
        """Append an epoch."""
        step = int(row["epoch"])
        writer = self._open.get(job.id)
        if writer is None:
            # Of a run that was stopped: what it wrote from this epoch on no longer counts.
            writer = self._open[job.id] = self._writer(str(self.folder(job)), purge_step=step)
        for name, value in scores(row):
            writer.add_scalar(name, value, step)
        writer.flush()

    def finished(self, job: Job, record: Mapping[str, Any]) -> None:
        """Write the job's folder from its record, unless it is newer."""
        writer = self._open.pop(job.id, None)
        if writer is not None:
            writer.close()
        folder = self.folder(job)
        files = list(folder.glob("events.*"))
        recorded = written(self._root / "records" / f"{job.id}.json")
        if writer is None and len(files) == 1 and written(files[0]) > recorded:
            return
        shutil.rmtree(folder, ignore_errors=True)
        rows, final = record.get("curves", []), results(record)
        with self._writer(str(folder), purge_step=1) as writer:
            for row in rows:
                for name, value in scores(row):
                    writer.add_scalar(name, value, int(row["epoch"]))
            for name, value in final.items():
                writer.add_scalar(name, value, len(rows))
            status = {name: record[name] for name in ("id", "status", "reason") if name in record}
            text = json.dumps(status | {"job": facts(job)}, indent=1)
            writer.add_text("job", "".join(f"    {line}\n" for line in text.splitlines()))
            self._hparams(writer, facts(job) | {"status": status.get("status", "")}, final)

    def close(self) -> None:
        """Close the files of jobs that were stopped."""
        for writer in self._open.values():
            writer.close()

    def folder(self, job: Job) -> Path:
        """Named like the job; by its id, for one label may be of several jobs."""
        name = re.sub(r"[^\w.()=-]+", " ", job.label).strip()
        return self._root / "tensorboard" / f"{name} {job.id[:6]}"

    def _hparams(self, writer: Any, values: dict[str, Any], final: dict[str, float]) -> None:
        """In the job's own file; ``add_hparams`` would make a run of its own."""
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(values, final):
            writer.file_writer.add_summary(summary)
