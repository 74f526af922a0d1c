"""Tasks on a real Ray cluster of two nodes, one of which is killed while it trains."""

import os
import sys
from pathlib import Path

import pytest
import short_jobs
from commands import Command, needs, same_results

pytestmark = pytest.mark.cluster

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
NODE = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 * 2**20}


@pytest.fixture
def cluster():
    """A head of one CPU. A node is dead once nobody has answered there ten times in two seconds."""
    needs("ray")
    from ray.cluster_utils import Cluster

    looks = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 200,
        "health_check_failure_threshold": 10,
        "raylet_death_check_interval_milliseconds": 200,
    }
    head = {**NODE, "include_dashboard": False, "_system_config": looks}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    yield nodes
    nodes.shutdown()


def test_a_killed_node_takes_no_job_along(cluster, here, matrix, tmp_path):
    """The job that it had begun is trained again, here by the node that takes its place."""
    root, logs = tmp_path / "study", Path(cluster.head_node.get_logs_dir_path())

    def training() -> list[int]:
        """The workers whose jobs have come to train; Ray has their pids in their logs' names."""
        found = [path for path in logs.glob("worker-*.out") if "train epoch" in path.read_text()]
        return [int(path.stem.rpartition("-")[2]) for path in found]

    root.mkdir()
    for name in ("held", "unreported"):
        (root / name).touch()
    arguments = ["--matrix", matrix, "--results", root, "--executor", "ray", "--address", cluster.address]
    with Command(arguments, tmp_path / "out", entry=short_jobs.SCRIPT) as command:
        second = cluster.add_node(**NODE)
        [raylet] = second.all_processes["raylet"]
        command.comes_to(lambda: raylet.process.pid in [parent(worker) for worker in training()])
        command.comes_to(lambda: len(training()) == 2)
        [worker] = [worker for worker in training() if parent(worker) == raylet.process.pid]
        [job] = children(worker)
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(**NODE)
        command.comes_to(lambda: parent(job) is None)
        (root / "held").unlink()
        text = command.ends()
    assert command.process.returncode == 0, text
    assert text.count("done, validation Dice") == 3
    assert len(training()) == 4, "three jobs, one of them twice"
    same_results(here, root)
    assert (root / "profile.json").is_file()
    assert not [line for line in command_lines() if str(root) in line]


def test_a_job_has_the_threads_that_it_has_elsewhere(monkeypatch):
    """Ray gives a task of one CPU OMP_NUM_THREADS=1; the study's threads are in the job."""
    needs("ray")
    from bench.running.executors import ray as ray_tasks

    ask = "import os, sys; sys.exit(int(os.environ.get('OMP_NUM_THREADS', 0)))"
    with ray_tasks.RayTasks()._connected():
        for threads in (None, "7"):
            found = ray_tasks.ray.get(
                ray_tasks._task.options(num_cpus=1).remote([sys.executable, "-c", ask], threads)
            )
            assert found == int(threads or 0)


def test_no_cluster_there_is_one_line(matrix, tmp_path, refused):
    needs("ray")
    arguments = ("--matrix", matrix, "--results", tmp_path / "r", "--executor", "ray")
    assert "--address 127.0.0.1:1: no Ray cluster answers" in refused(
        *arguments, "--address", "127.0.0.1:1"
    )


def parent(pid: int) -> int | None:
    """Of a running process; a dead one that nobody has buried yet has none."""
    try:
        state, number, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(number)


def children(pid: int) -> list[int]:
    """The running processes that it has started."""
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [one for one in found if parent(one) == pid]


def command_lines() -> list[str]:
    """Those of all running processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text().replace("\0", " "))
        except OSError:
            continue
    return found
