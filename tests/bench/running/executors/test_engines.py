"""What all engines have in common."""

import signal
import sys
import time

import pytest
import torch

from bench.compute.device import choose_device
from bench.compute.runtime import first_precision
from bench.errors import UserError
from bench.planning.options import Options
from bench.running.executors import engine
from bench.running.executors.commands import job_command, run_command


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_missing_extra_is_named(name, monkeypatch):
    package = {"ray": "ray", "slurm": "submitit"}[name]
    monkeypatch.delitem(sys.modules, f"bench.running.executors.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"package {package} is missing; pip install .* '\.\[{name}\]'"):
        engine(Options(executor=name))


def test_the_command_is_what_a_person_would_type(simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = simulated.job("unet-32-64", "baseline", 0)
    options = Options(data=tmp_path / "x" / ".." / "data", device="cpu", targets_gb=2.0, no_test=True)
    python, *entry = job_command(simulated.study, job, options)[:4]
    words = job_command(simulated.study, job, options)[4:]
    assert python == sys.executable
    assert entry == ["-P", "-m", "bench"]
    expected = ["job", str(tmp_path / "study"), job.id]
    flags = ["--data", str(tmp_path / "data"), "--device", "cpu", "--targets-gb", "2.0", "--no-test"]
    assert words == [*expected, *flags]
    planning = Options(matrix="quick", only="unet-32:*", precision="fp32", workers=2, retry_failed=True)
    assert job_command(simulated.study, job, planning)[4:] == expected, "only what jobs are told"


def test_a_command_gives_its_exit_code_and_does_not_see_submitits_signal():
    send = "import os, signal, sys; os.kill(os.getpid(), signal.SIGUSR2); sys.exit(7)"
    assert run_command([sys.executable, "-c", send]) == 7


def test_a_command_is_asked_to_stop_with_whoever_runs_it(tmp_path):
    saves = (
        "import pathlib, signal, sys, time\n"
        f"saved = pathlib.Path({str(tmp_path / 'saved')!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (saved.touch(), sys.exit()))\n"
        f"pathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
        "time.sleep(60)"
    )

    def interrupt(*_: object) -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_command([sys.executable, "-c", saves])
    finally:
        signal.signal(signal.SIGALRM, old)
    assert (tmp_path / "saved").exists()


def test_devices_that_are_elsewhere_need_not_be_here(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="this machine has none"):
        choose_device("cuda")
    device = choose_device("cuda", elsewhere=True)
    assert device.type == "cuda"
    assert first_precision("bf16", device) == "bf16"
    with pytest.raises(UserError, match="no GPU here to ask; say fp32, or bf16"):
        first_precision("auto", device)
