"""The view of a whole matrix: drawn for known states, and at a real pseudo-terminal."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time

import pytest
import short_jobs
from rich.console import Console

from bench.files.atomic import write_json
from bench.study.progress import Progress
from bench.watching.live_view import draw, ticking
from bench.watching.states import State, Watch, seconds_left

NETWORKS = ("unet-64-128-256-512", "unet-32-64-128-256", "unet-32-64-128", "unet-32-64")
METHODS = ("baseline", "pm-kd", "at-kd", "combined")


def running(job, epoch, left, phase="train"):
    curves = [{"epoch": e, "loss": 1 / e, "dice_val": 0.5 + e / 100} for e in range(1, epoch + 1)]
    news = {"phase": phase, "epoch": epoch, "epochs": 20, "seconds": 10.0, "left": left}
    return State(job, "running", seconds=10.0, news=news | {"curves": curves if phase == "train" else []})


@pytest.fixture
def states(simulated):
    """Three seeds of 13 jobs: some of each kind."""
    jobs = [
        simulated.job(network, method, seed)
        for seed in range(3)
        for network in NETWORKS
        for method in (METHODS[:1] if network == NETWORKS[0] else METHODS)
    ]
    found = [State(job, "done", dice=0.8 + k / 1000, seconds=30.0) for k, job in enumerate(jobs[:7])]
    found += [running(jobs[7], 5, 30.0), running(jobs[8], 3, None, "targets")]
    found += [State(jobs[9], "failed", "OSError: no space left"), State(jobs[10], "blocked", "its teacher")]
    found += [
        State(jobs[11], "cannot-learn", "the loss does not fall"),
        State(jobs[12], "skipped", "no tap"),
    ]
    return found + [State(job, "waiting") for job in jobs[13:]]


def text(states, width, height, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    console.print(draw(states, "results/x", 754.0, 2, console))
    file.flush()
    lines = file.buffer.getvalue().decode(encoding).splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


def test_a_wide_terminal_shows_every_job(states):
    out = text(states, 140, 40)
    assert "results/x: 7/39 done, 2 running, 26 waiting, 1 failed, 1 blocked" in out
    assert "12:34 so far, about" in out
    assert re.search(r"unet-32-64-128:at-kd seed 0 +5/20  0\.2000  0\.5500  ~0:30", out)
    assert "targets 3/20" in out
    row = next(line for line in out.splitlines() if line.startswith("unet-32-64-128 "))
    assert row.split() == [
        "unet-32-64-128",
        "0.805",
        "·",
        "·",
        "0.806",
        *"··",
        "25%",
        *"··",
        "teach",
        *"··",
    ]
    assert "failed, OSError: no space left" in out
    assert "skipped, no tap" in out


def test_no_cell_is_of_two_settings(simulated):
    """The mean of a cell is over seeds alone: other labels have their row, other weights their column."""
    few = [simulated.job("unet-32-64", "baseline", seed, labels=4) for seed in (0, 1)]
    all_labels = simulated.job("unet-32-64", "baseline", 0)
    usual, strong = (simulated.job("unet-32-64", name, 0) for name in ("pm-kd", "pm-kd[weight=1.0]"))
    dice = {few[0]: 0.61, few[1]: 0.63, all_labels: 0.81, usual: 0.82, strong: 0.83}
    out = text([State(job, "done", dice=value) for job, value in dice.items()], 120, 40)
    lines = [line.split() for line in out.splitlines()]
    assert ["baseline", "pm-kd", "pm-kd[weight=1.0]"] in lines
    assert ["unet-32-64", "4", "labels", "0.610", "0.630"] in lines
    assert ["unet-32-64", "0.810", "0.820", "0.830"] in lines


def test_narrow_low_and_ascii_terminals_show_less(states):
    assert re.search(r"unet-32-64-128 +●·· 0\.805 +●·· 0\.806 +▶·· +▶··", text(states, 80, 40))
    assert re.search(r"3 more: 5 done, 18 waiting, 1 failed", text(states, 80, 18))
    plain = text(states, 40, 40, "ascii")
    assert re.search(r"unet-32-64-128 +##>>\.{8} *\n", plain)
    assert "# done  > running  . waiting" in plain


def test_time_left_is_by_epochs_and_by_the_same_network(simulated):
    job = simulated.job
    done = State(job("unet-32-64", "baseline", 0), "done", seconds=100.0)
    same, first = (
        State(job("unet-32-64", "pm-kd", 0), "waiting"),
        State(job(NETWORKS[0], "baseline", 0), "waiting"),
    )
    assert seconds_left([first], 1) is None
    assert seconds_left([done, same], 1) == 100.0
    own = running(job("unet-32-64", "at-kd", 0), 5, 30.0)
    assert seconds_left([done, own], 2) == 30.0
    assert seconds_left([done, same, own], 2) == 70.0, "as 100 and 40 seconds have it; no job is split"
    assert seconds_left([done, first], 1) > 100.0, "by its MACs"
    longer = State(job("unet-32-64", "baseline", 0, updates=2000), "waiting")
    assert seconds_left([done, longer], 1) == pytest.approx(400.0), "by its updates"


def test_the_watch_follows_files(simulated):
    study, now = simulated.study, time.time()
    old = simulated.add("unet-32-64", "baseline", 0)
    new = simulated.job("unet-32-64", "baseline", 1)
    again = simulated.add("unet-32-64", "baseline", 2)
    os.utime(study.path("records", again.id), (now - 100, now - 100))
    watch = Watch(study, [old, new, again], [new, again])

    def statuses():
        return [state.status for state in watch.states(now)]

    assert statuses() == ["done", "waiting", "waiting"], "a record from before doesn't count"
    progress = Progress(io.StringIO(), False, "", study.path("progress", new.id))
    assert statuses() == ["done", "running", "waiting"]
    progress.epoch("train", {"epoch": 1, "loss": 0.5, "dice_val": 0.25})
    state = watch.states(now)[1]
    assert (state.news["phase"], state.news["epoch"], state.dice) == ("train", 1, 0.25)
    assert state.news["left"] >= 0
    write_json(study.path("records", new.id), {"status": "failed", "reason": "x", "job": new.as_dict()})
    progress.close()
    assert not list((study.root / "progress").iterdir())
    assert statuses() == ["done", "failed", "waiting"]


def test_what_ticks_may_break_and_the_block_goes_on():
    told = []
    with ticking(lambda: 1 / 0, told.append):
        pass
    assert told == ["ZeroDivisionError: division by zero"]


def test_a_tick_that_breaks_after_the_block_is_the_last():
    told, ended = [], threading.Event()

    def tick():
        ended.wait(5)
        time.sleep(0.1)
        raise ConnectionError("gone")

    with ticking(tick, told.append):
        ended.set()
    assert told == ["ConnectionError: gone"]


def at_terminal(arguments, seen=None, wait=90):
    """Run at a pseudo-terminal of 100 columns; interrupt once ``seen`` is shown. Exit code and output."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, str(short_jobs.SCRIPT), *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    out, until, sent = b"", time.monotonic() + wait, False
    try:
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    part = os.read(ours, 65536)
                except OSError:
                    break
                out += part
            if seen and not sent and seen in out.decode(errors="replace"):
                os.killpg(process.pid, signal.SIGINT)
                sent = True
        return process.wait(timeout=30), out.decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(ours)


@pytest.mark.slow
def test_at_a_terminal_the_matrix_is_live_and_ctrl_c_gives_the_cursor_back(tmp_path, tiny_matrix):
    root = tmp_path / "study"
    root.mkdir()
    (root / "held").touch()
    arguments = ("--matrix", tiny_matrix, "--results", root, "--workers", 1)
    code, out = at_terminal(arguments, seen="1 running")
    assert code != 0
    assert "\x1b[?25l" in out
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "0/5 done" in out
    assert "train epoch" not in out, "what jobs print is in logs/"
    assert list((root / "logs").glob("*.out"))
