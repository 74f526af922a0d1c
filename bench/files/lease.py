"""Who is at what: one file per running job, so that processes on any number of machines do each job once.

A lease is the file ``leases/NAME``. Its holder writes it whole under a name of its own and hard-links
it in place, which every file system, NFS included, lets exactly one of several do; nothing relies on
``flock``. It holds host, pid, when that process started, and a token; its time of change is the
holder's heartbeat.

Nobody deletes or renames the lease of another. Who finds its holder dead links the name of the
*successor*, ``NAME~TOKEN`` with the dead one's token, which again exactly one can. The last of such a chain
holds; the others are those who died at it. A holder that is through deletes the chain from its
beginning, after which what is left of it leads nowhere.

Dead is, on the same machine, a process that is gone, whatever its heartbeat; on another one a heartbeat
older than ``STALE_SECONDS`` by the clock of the file server.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import multiprocessing
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UserError
from bench.files import stopping
from bench.files.atomic import write_text, writing
from bench.files.liveness import Process, here, is_running, started

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 120.0
"""More than the minute that NFS may keep the attributes of a file."""
POLL_SECONDS = 1.0


class Lost(RuntimeError):
    """Others took this process for dead, and one of them goes on with what it was at."""


@dataclass(frozen=True)
class Holder:
    """What a lease's file says."""

    token: str
    host: str
    place: str
    """The machine since its start, and the container: where the pid means something."""
    process: Process
    parent: Process | None
    """Who had started the process to run jobs; None where a person or a cluster did."""
    beat: float
    """The last heartbeat by the clock of the file server."""

    def __str__(self) -> str:
        return f"process {self.process[0]} on {self.host}"

    def is_dead(self, now: float) -> bool:
        """Whether the holder is gone; ``now`` is by the file server's clock."""
        if self.place == here():
            return not is_running(self.process)
        return now - self.beat > STALE_SECONDS

    def died_alone(self) -> bool:
        """Whether a dead holder's death may be its job's fault: its executor did not go with it."""
        return self.parent is None or self.place != here() or is_running(self.parent)


@dataclass
class Lease:
    """A lease that this process holds while it is entered; ``acquire`` gives it."""

    folder: Path
    name: str
    token: str
    path: Path
    deaths: int
    """How many processes have died at it before, their executors living on."""
    lost: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Lease:
        threading.Thread(target=self._beat, name=f"lease {self.name}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.release()

    def check(self) -> None:
        """Go no further with what another process has taken over.

        Raises:
            Lost: it has, for this one was not heard of for ``STALE_SECONDS``.
        """
        if self.lost:
            raise Lost(f"{self.name}: this process was taken for dead; another one goes on")

    def release(self) -> None:
        """Give it up; what another has taken over stays with it."""
        with contextlib.suppress(OSError):
            chain = _chain(self.folder, self.name)
            if not chain or chain[-1].token != self.token:
                return
            later = [path for path in self.folder.iterdir() if path.name.startswith(f"{self.name}~")]
            for path in (self.folder / self.name, *later):
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self.path)
                self.lost |= (self.folder / f"{self.name}~{self.token}").exists()
            except FileNotFoundError:
                self.lost = not self._ended.is_set()
            except OSError:  # a server that is away for a while; others see an old heartbeat
                continue


def acquire(root: Path, name: str) -> Lease | None:
    """The lease ``name`` of the study in ``root``; None if somebody alive has it, this process included.

    Raises:
        UserError: the folder can't be written to.
    """
    folder = root / "leases"
    token = secrets.token_hex(8)
    own = folder / f".{token}"
    try:
        with writing(folder):
            _write(own, token)
            chain = _chain(folder, name)
            if chain and not chain[-1].is_dead(own.stat().st_mtime):
                return None
            path = folder / (f"{name}~{chain[-1].token}" if chain else name)
            try:
                os.link(own, path)
            except FileExistsError:
                if own.stat().st_nlink < 2:  # else it is our own: NFS lost the answer and asked again
                    return None
            now = _chain(folder, name)
            if not now or now[-1].token != token:  # the dead one's chain has been deleted under us
                path.unlink(missing_ok=True)
                return None
            return Lease(folder, name, token, path, sum(holder.died_alone() for holder in chain))
    except OSError as error:
        raise UserError(
            f"{folder}: can't be written to ({error.strerror}); running jobs needs a folder that can, "
            "on a file system with hard links"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)


def deaths(root: Path, name: str) -> int:
    """How many processes have died at it, their executors living on."""
    folder = root / "leases"
    return sum(one.is_dead(_now(folder, one)) and one.died_alone() for one in _chain(folder, name))


def note_death(root: Path, name: str) -> None:
    """Count a process that ended badly and left no lease behind; for the executor that has seen it."""
    if (lease := acquire(root, name)) is not None:
        values = json.loads(lease.path.read_text())
        above = values["process"]
        write_text(lease.path, json.dumps(values | {"process": (0, "ended"), "parent": above}))


@contextlib.contextmanager
def waited_for(root: Path, name: str) -> Iterator[Lease]:
    """The lease, once whoever has it is through or dead; who that is is told.

    Raises:
        Stopped: a signal came while waiting.
    """
    told = False
    while (lease := acquire(root, name)) is None:
        if not told and (found := holder(root, name)):
            log.info(f"{name}: waiting for {found}")
            told = True
        stopping.check()
        time.sleep(POLL_SECONDS)
    with lease:
        yield lease


def holder(root: Path, name: str) -> Holder | None:
    """Who has the lease; None where nobody alive does."""
    chain = _chain(root / "leases", name)
    if not chain or chain[-1].is_dead(_now(root / "leases", chain[-1])):
        return None
    return chain[-1]


def at_work_here(root: Path, counts: Callable[[str], bool]) -> Holder | None:
    """Somebody on this machine who has a lease whose name ``counts``."""
    folder = root / "leases"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if counts(path.name) and (found := holder(root, path.name)) and found.place == here():
            return found
    return None


def was_killed(root: Path, name: str) -> bool:
    """Whether the last process at it died."""
    return bool(_chain(root / "leases", name)) and holder(root, name) is None


def forget(root: Path, name: str) -> None:
    """Let those who died at it count no longer."""
    if was_killed(root, name) and (lease := acquire(root, name)):
        lease.release()


def tidy(root: Path, is_over: Callable[[str], bool]) -> None:
    """Remove what dead processes left: leases whose work ``is_over``, and what leads nowhere."""
    folder = root / "leases"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name, _, dead = path.name.partition("~")
        if name == ".gitignore":
            continue
        if name.startswith(".") or (dead and not (folder / name).exists()):
            one = _read(path)
            if one is not None and one.is_dead(_now(folder, one)):
                path.unlink(missing_ok=True)
        elif not dead and is_over(name):
            forget(root, name)


def _write(path: Path, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ignored = path.parent / ".gitignore"
    if not ignored.is_file():
        ignored.write_text("*\n")
    parent = multiprocessing.parent_process()
    above = None if parent is None or parent.pid is None else (parent.pid, started(parent.pid))
    who = {"process": (os.getpid(), started(os.getpid())), "parent": above}
    path.write_text(json.dumps({"token": token, "host": platform.node(), "place": here()} | who))


def _chain(folder: Path, name: str) -> list[Holder]:
    """All holders from the first, each but the last dead."""
    found: list[Holder] = []
    path = folder / name
    while (one := _read(path)) is not None:
        found.append(one)
        path = folder / f"{name}~{one.token}"
    return found


def _read(path: Path) -> Holder | None:
    try:
        with path.open("rb") as file:  # NFS asks its server for the attributes of a file that is opened
            content, status = file.read(), os.fstat(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):  # NFS says so of a file that has just gone
            return None
        raise
    try:
        values = json.loads(content)
        process, parent = tuple(values["process"]), values["parent"]
        above = None if parent is None else (int(parent[0]), str(parent[1]))
        return Holder(
            token=str(values["token"]),
            host=str(values["host"]),
            place=str(values["place"]),
            process=(int(process[0]), str(process[1])),
            parent=above,
            beat=status.st_mtime,
        )
    except (ValueError, LookupError, TypeError):  # torn when a machine went down: nobody, once it is stale
        return Holder(f"torn{status.st_ino}", "an unknown host", "", (0, ""), None, status.st_mtime)


def _now(folder: Path, holder: Holder) -> float:
    """The file server's clock, where it matters."""
    if holder.place == here():
        return holder.beat
    own = folder / f".{secrets.token_hex(8)}"
    try:
        own.touch()
        return own.stat().st_mtime
    except OSError:  # a folder that is only read: nothing is known, so the holder lives
        return holder.beat
    finally:
        with contextlib.suppress(OSError):
            own.unlink(missing_ok=True)
