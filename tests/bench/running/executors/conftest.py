"""A real Slurm on loopback: one controller, one node of two CPUs; started once, stopped by its pids."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import short_jobs
from commands import missing, output

from bench.commands import run_matrix
from bench.planning.options import Options

MATRIX = """
teacher: unet-8-16-32
students: [unet-8-16]
methods: [baseline, pm-kd]
image_size: 16
updates: 80
workers: 2
"""
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=2
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="session")
def here(tmp_path_factory) -> Path:
    """The results of the study as the local executor makes them."""
    root = tmp_path_factory.mktemp("local")
    (root / "small.yaml").write_text(MATRIX)
    with pytest.MonkeyPatch.context() as patch:  # jobs only
        patch.setattr("bench.commands.run_job", short_jobs.run_job)
        patch.setattr("bench.commands.profile", lambda *_: None)
        patch.setattr("bench.commands.write_report", lambda *_: None)
        assert run_matrix(Options(matrix=str(root / "small.yaml"), results=root / "study")) == 0
    return root / "study"


@pytest.fixture
def matrix(tmp_path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(MATRIX)
    return path


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Path]:
    """The folder of a running Slurm, which ``SLURM_CONF`` names."""
    lacking = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if not shutil.which(name)]
    if lacking or find_spec("submitit") is None:
        missing(f"Slurm is not installed ({', '.join(lacking) or 'submitit'} is missing)")
    if os.geteuid() != 0:
        missing("a Slurm of one's own needs root")
    folder = tmp_path_factory.mktemp("slurm")
    with contextlib.ExitStack() as stack:
        _munge(folder, stack)
        configuration = folder / "slurm.conf"
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        host = socket.gethostname().split(".")[0]
        configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=free_ports(2)))
        environment = pytest.MonkeyPatch()
        stack.callback(environment.undo)
        environment.setenv("SLURM_CONF", str(configuration))
        _daemon(["slurmctld", "-D", "-c"], folder, stack)
        _daemon(["slurmd", "-D", "-c"], folder, stack)
        _until(lambda: "idle" in output("sinfo", "-h", "-o", "%T"), folder)
        yield folder


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _munge(folder: Path, stack: contextlib.ExitStack) -> None:
    """A munge with a key and a socket of its own; it wants folders that are nobody else's."""
    user = pwd.getpwnam("munge")
    own = folder / "munge"
    own.mkdir()
    key = own / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    for path in (own, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    for parent in folder.parents:  # pytest's folders are for their owner only
        if parent != Path("/tmp") and parent.owner() == "root" and parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    folder.chmod(0o1777)
    files = {"key-file": key, "pid-file": own / "pid", "seed-file": own / "seed", "log-file": own / "log"}
    options = [f"--{name}={path}" for name, path in files.items()]
    command = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *options]
    _daemon(["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command],
            folder, stack)  # fmt: skip
    _until((folder / "munge.socket").exists, folder)


def _daemon(command: list[str], folder: Path, stack: contextlib.ExitStack) -> None:
    with (folder / "daemons.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    stack.callback(process.wait, 60)
    stack.callback(process.terminate)


def _until(what: Callable[[], object], folder: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        logs = [path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log")]
        assert time.monotonic() < until, "\n".join(logs)
        time.sleep(0.1)
