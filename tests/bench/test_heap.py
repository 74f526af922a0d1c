"""Freed memory is kept for the next step, unless it is short."""

import platform
import resource
from dataclasses import replace

import pytest
import torch

from bench import heap, job
from bench.executors.processes import process_context
from bench.matrix import Setting, cells, parse_matrix
from bench.protocol import BATCH_SIZE
from bench.store import Study

CPU = torch.device("cpu")


def faults(keep, pipe):
    """Pages that the system hands out while large tensors come and go."""
    if keep:
        heap.keep_freed_memory()
    for _ in range(10):  # until what is kept has settled
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_kept_memory_is_not_asked_for_again():
    found = {}
    for keep in (True, False):
        ours, theirs = process_context().Pipe(duplex=False)
        process = process_context().Process(target=faults, args=(keep, theirs))
        process.start()
        found[keep] = ours.recv()
        process.join()
    assert found[True] < found[False] / 4


def test_memory_is_plenty_for_few_processes_and_not_for_many():
    assert min(heap._memory_limits_mb()) > 0
    assert heap.has_plenty_of_memory(0)
    assert not heap.has_plenty_of_memory(10**6)


def test_a_control_group_bounds_what_is_there(monkeypatch):
    limits = {
        "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "5000000",
        "/sys/fs/cgroup/a/memory.max": "max",
    }
    files = limits | {"/proc/self/cgroup": "4:memory:/jobs/7\n1:cpu:/\n0::/a\n"}
    monkeypatch.setattr(heap.Path, "read_text", lambda path: files[str(path)])
    monkeypatch.setattr(heap.Path, "is_file", lambda path: str(path) in files)
    machine, *groups = heap._memory_limits_mb()
    assert machine > 100
    assert groups == [5.0]


@pytest.mark.parametrize(
    ("settings", "changes", "kept"),
    [
        ({}, {}, True),
        ({"workers": 10**6}, {}, False),
        ({"memory_gb": 4.0}, {}, False),
        ({}, {"micro_batch": BATCH_SIZE // 2}, False),
        ({}, {"checkpointing": True}, False),
    ],
)
def test_a_job_keeps_memory_unless_it_is_short(monkeypatch, tmp_path, settings, changes, kept):
    asked, rows = [], []
    monkeypatch.setattr(job, "keep_freed_memory", lambda: asked.append(True))
    monkeypatch.setattr(Study, "settings", lambda study: settings)
    matrix = parse_matrix({"teacher": "unet-4-8", "students": ["unet-2-4"]}, "test")
    setting = Setting("phantom", "d", "s", 2, 1, 1, 16, 1, "fp32", False, 16)
    planned = replace(next(cells(matrix, setting)).job, **changes)
    job._after_epoch(
        Study(tmp_path), planned, CPU, lambda phase, row: rows.append((phase, row)), {"epoch": 1}
    )
    assert bool(asked) == kept
    assert rows == [("train", {"epoch": 1})]
