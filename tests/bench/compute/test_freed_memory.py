"""Freed memory is kept for the next step, unless it is short."""

import platform
import resource

import pytest
import torch
from samples import blank_job

from bench.compute import memory
from bench.compute.freed_memory import has_plenty_of_memory, keep_freed_memory
from bench.compute.processes import in_own_process
from bench.compute.runtime import Runtime
from bench.planning.options import Options
from bench.protocol import BATCH_SIZE
from bench.running import training as running
from bench.running.work import Work
from bench.study.reporter import Reporter
from bench.study.store import Study


def faults(keep):
    """Pages that the system hands out while large tensors come and go."""
    if keep:
        keep_freed_memory()
    for _ in range(10):  # until what is kept has settled
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_kept_memory_is_not_asked_for_again():
    found = {keep: in_own_process(faults, keep) for keep in (True, False)}
    assert found[True] < found[False] / 4


def test_memory_is_plenty_for_few_processes_and_not_for_many():
    assert min(memory.limits_mb()) > 0
    assert has_plenty_of_memory(0)
    assert not has_plenty_of_memory(10**6)


def test_a_control_group_bounds_what_is_there(monkeypatch):
    limits = {
        "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "5000000",
        "/sys/fs/cgroup/a/memory.max": "max",
    }
    files = limits | {"/proc/self/cgroup": "4:memory:/jobs/7\n1:cpu:/\n0::/a\n"}
    monkeypatch.setattr(memory.Path, "read_text", lambda path: files[str(path)])
    monkeypatch.setattr(memory.Path, "is_file", lambda path: str(path) in files)
    machine, *groups = memory.limits_mb()
    assert machine > 100
    assert groups == [5.0]


@pytest.mark.parametrize(
    ("settings", "changes", "kept"),
    [
        ({}, {}, True),
        ({"workers": 10**6}, {}, False),
        ({"memory_gb": 4.0}, {}, False),
        ({}, {"micro_batch": BATCH_SIZE // 2}, False),
        ({}, {"recompute": True}, False),
    ],
)
def test_a_job_keeps_memory_unless_it_is_short(monkeypatch, tmp_path, settings, changes, kept):
    asked = []
    monkeypatch.setattr(running, "keep_freed_memory", lambda: asked.append(True))
    monkeypatch.setattr(Study, "settings", lambda study: settings)
    runtime = Runtime(torch.device("cpu"), "fp32", 1, compiled=False)
    job = blank_job(**changes)
    work = Work(Study(tmp_path), job, None, runtime, Options(), Reporter(), {})
    running._keep_memory(work, "targets")
    assert not asked, "what training takes is not known before its first epoch"
    running._keep_memory(work, "train")
    assert bool(asked) == kept
