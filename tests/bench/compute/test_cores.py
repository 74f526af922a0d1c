"""As many threads as a process may use, not as the machine has cores."""

import pytest

from bench.compute import control_groups, cores


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"/sys/fs/cgroup/a/cpu.max": "max 100000"}, 8),
        ({"/sys/fs/cgroup/a/cpu.max": "100000 100000"}, 1),
        ({"/sys/fs/cgroup/a/cpu.max": "150000 100000"}, 2),
        ({"/sys/fs/cgroup/a/cpu.max": "max 100000", "/sys/fs/cgroup/cpu.max": "300000 100000"}, 3),
        ({"/sys/fs/cgroup/a/cpu.max": "5000000 100000"}, 8),
        (
            {
                "/sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us": "200000",
                "/sys/fs/cgroup/cpu/jobs/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        ({"/sys/fs/cgroup/cpu/jobs/cpu.cfs_quota_us": "-1"}, 8),
    ],
)
def test_cores_are_those_of_affinity_and_quota(monkeypatch, files, count):
    known = files | {"/proc/self/cgroup": "4:cpu,cpuacct:/jobs/7\n1:memory:/\n0::/a\n"}
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(control_groups.Path, "read_text", lambda path: known[str(path)])
    monkeypatch.setattr(control_groups.Path, "is_file", lambda path: str(path) in known)
    assert cores.usable_cores() == count


def test_without_control_groups_there_is_affinity(monkeypatch):
    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(control_groups.Path, "read_text", missing)
    assert cores.usable_cores() == 2
