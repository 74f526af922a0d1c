"""Leases: one holder at a time, whatever dies when."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bench.errors import UserError
from bench.files import lease, liveness, stopping
from bench.telling import told_to

LONG_AGO = time.time() - 10 * lease.STALE_SECONDS


def dies(one: lease.Lease, **content: object) -> None:
    """The holder is a process that is gone: the pid is there again, started at another time."""
    values = json.loads(one.path.read_text()) | {"process": [os.getpid(), "before"]} | content
    one.path.write_text(json.dumps(values))


def moves(one: lease.Lease, beat: float | None = None) -> None:
    """The holder is on another machine; its last heartbeat was at ``beat``."""
    dies(one, place="another machine", host="far")
    if beat is not None:
        os.utime(one.path, (beat, beat))


def test_one_process_has_it_and_gives_it_back(tmp_path):
    with lease.acquire(tmp_path, "job") as held:
        assert held.deaths == 0
        assert lease.acquire(tmp_path, "job") is None
        assert lease.acquire(tmp_path, "another") is not None
        assert lease.holder(tmp_path, "job").process[0] == os.getpid()
    assert lease.holder(tmp_path, "job") is None
    assert lease.acquire(tmp_path, "job") is not None
    assert (tmp_path / "leases" / ".gitignore").read_text() == "*\n"
    left = [path.name for path in (tmp_path / "leases").iterdir() if path.name != ".gitignore"]
    assert sorted(left) == ["another", "job"], "no temporary file stays"


def test_a_dead_process_does_not_hold(tmp_path):
    code = "import sys; from pathlib import Path; from bench.files import lease; import os, signal\n"
    code += "lease.acquire(Path(sys.argv[1]), 'job'); os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env=dict(os.environ))
    assert done.returncode == -9
    assert lease.was_killed(tmp_path, "job")
    assert lease.holder(tmp_path, "job") is None
    with lease.acquire(tmp_path, "job") as held:
        assert held.deaths == 1
        assert not lease.was_killed(tmp_path, "job")
    assert lease.acquire(tmp_path, "job").deaths == 0, "whoever came through has made up for it"


def test_who_died_with_its_executor_does_not_count(tmp_path):
    dies(lease.acquire(tmp_path, "job"), parent=[os.getpid(), "before"])
    dies(lease.acquire(tmp_path, "job"), parent=[os.getpid(), liveness.started(os.getpid())])
    assert lease.acquire(tmp_path, "job").deaths == 1


def test_another_machine_is_judged_by_its_heartbeat(tmp_path):
    moves(lease.acquire(tmp_path, "job"))
    assert lease.acquire(tmp_path, "job") is None
    assert str(lease.holder(tmp_path, "job")) == f"process {os.getpid()} on far"
    os.utime(tmp_path / "leases" / "job", (LONG_AGO, LONG_AGO))
    assert lease.acquire(tmp_path, "job") is not None


def test_the_clock_of_this_machine_does_not_matter(tmp_path, monkeypatch):
    moves(lease.acquire(tmp_path, "job"))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert lease.acquire(tmp_path, "job") is None


def test_it_beats_and_notices_when_it_was_taken_for_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.01)
    with lease.acquire(tmp_path, "job") as held:
        os.utime(held.path, (LONG_AGO, LONG_AGO))
        until(lambda: held.path.stat().st_mtime > LONG_AGO)
        held.check()
        moves(held)
        monkeypatch.setattr(lease, "STALE_SECONDS", -1)
        other = lease.acquire(tmp_path, "job")
        monkeypatch.undo()
        until(lambda: held.lost)
        with pytest.raises(lease.Lost, match="another one goes on"):
            held.check()
    assert lease.acquire(tmp_path, "job") is None, "giving up what is lost leaves it to the other"
    other.release()
    assert lease.acquire(tmp_path, "job") is not None


def test_of_many_exactly_one_takes_over(tmp_path):
    """Threads that all saw the same dead holder, switched as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for name in map(str, range(15)):
            dies(lease.acquire(tmp_path, name))
            barrier, won = threading.Barrier(6), []

            def contend(name=name, barrier=barrier, won=won):
                barrier.wait()
                won.append(lease.acquire(tmp_path, name))

            threads = [threading.Thread(target=contend) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sum(one is not None for one in won) == 1
    finally:
        sys.setswitchinterval(before)


def test_a_chain_deleted_under_who_takes_over_gives_nothing(tmp_path, monkeypatch):
    """Between judging and linking the dead one turns out alive, ends, and somebody else begins."""
    first = lease.acquire(tmp_path, "job")
    content = first.path.read_text()
    dies(first)
    link = os.link

    def late(own, path):
        monkeypatch.setattr(os, "link", link)
        first.path.write_text(content)
        first.release()
        late.other = lease.acquire(tmp_path, "job")
        link(own, path)

    monkeypatch.setattr(os, "link", late)
    assert lease.acquire(tmp_path, "job") is None
    assert lease.acquire(tmp_path, "job") is None
    late.other.release()
    assert lease.acquire(tmp_path, "job") is not None


def test_an_answer_that_nfs_lost_is_no_refusal(tmp_path, monkeypatch):
    link = os.link

    def twice(own, path):
        link(own, path)
        link(own, path)

    monkeypatch.setattr(os, "link", twice)
    assert lease.acquire(tmp_path, "job") is not None


def test_a_torn_lease_holds_until_it_is_stale(tmp_path):
    path = lease.acquire(tmp_path, "job").path
    path.write_bytes(b"")
    assert lease.acquire(tmp_path, "job") is None
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert lease.acquire(tmp_path, "job") is not None


def test_waiting_ends_with_the_holder_and_with_a_signal(tmp_path, monkeypatch, told):
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.01)
    held = lease.acquire(tmp_path, "job")
    timer = threading.Timer(0.05, held.release)
    timer.start()
    with lease.waited_for(tmp_path, "job"):
        assert len(told) == 1
        assert f"job: waiting for process {os.getpid()} on " in told[0]
        with (
            pytest.raises(stopping.Stopped, match="SIGINT"),
            stopping.after_saving(),
            told_to(lambda line: os.kill(os.getpid(), 2)),
            lease.waited_for(tmp_path, "job"),
        ):
            pass
    timer.join()


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "leases").write_text("no folder")
    with pytest.raises(UserError, match="leases: could not be written; file exists: a file lies where"):
        lease.acquire(tmp_path, "job")


def test_what_dead_processes_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "leases"
    for name in ("over", "open"):
        dies(lease.acquire(tmp_path, name))
        dies(lease.acquire(tmp_path, name))
    live = lease.acquire(tmp_path, "live")
    dies(lease.acquire(tmp_path, "gone"))
    dies(lease.acquire(tmp_path, "gone"))
    (folder / "gone").unlink()  # its holder died in giving it up
    (folder / ".half").write_text((folder / "over").read_text())
    (folder / ".beginning").write_text(live.path.read_text())
    lease.tidy(tmp_path, lambda name: name != "open")
    left = {path.name.partition("~")[0] for path in folder.iterdir()}
    assert left == {".gitignore", ".beginning", "live", "open"}
    assert lease.acquire(tmp_path, "open").deaths == 2


class Contention(RuleBasedStateMachine):
    """Any order of taking, giving back, dying, moving away and going stale: one holder, deaths counted."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.holder: lease.Lease | None = None
        self.deaths = 0

    @rule()
    def take(self) -> None:
        got = lease.acquire(self.root, "job")
        assert (got is None) == (self.holder is not None)
        if got is not None:
            assert got.deaths == self.deaths
            self.holder = got

    @rule()
    def give_back(self) -> None:
        if self.holder is not None:
            self.holder.release()
            self.holder, self.deaths = None, 0

    @rule(with_executor=st.booleans())
    def die(self, with_executor: bool) -> None:
        if self.holder is not None:
            parent = [os.getpid(), "before"] if with_executor else None
            dies(self.holder, parent=parent, place=liveness.here())
            self.holder, self.deaths = None, self.deaths + (not with_executor)

    @rule(stale=st.booleans())
    def be_elsewhere(self, stale: bool) -> None:
        if self.holder is not None:
            moves(self.holder, LONG_AGO if stale else None)
            if stale:
                self.holder, self.deaths = None, self.deaths + 1

    @rule()
    def forget(self) -> None:
        lease.forget(self.root, "job")
        if self.holder is None:
            self.deaths = 0

    @invariant()
    def one_at_most(self) -> None:
        assert (lease.holder(self.root, "job") is None) == (self.holder is None)

    def teardown(self) -> None:
        self.folder.cleanup()


Contention.TestCase.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestContention = Contention.TestCase


def until(condition) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for half a minute")
