"""A folder that one command writes to at a time."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UserError
from bench.files import lease

NAME = "out"
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links say."""


@contextlib.contextmanager
def alone_in(out: Path, hidden: Path) -> Iterator[None]:
    """Within the block no other command that asks for it writes to ``out``.

    Args:
        out: the folder.
        hidden: a folder that is made meanwhile, for the lease; whoever died with it no longer holds it.

    Raises:
        UserError: another command is at it, who is named; or the folder can't be written to.
    """
    above = [path for path in hidden.parents if not path.exists()]
    try:
        with _held(out, hidden):
            yield
    finally:
        if lease.holder(hidden, NAME) is None:
            shutil.rmtree(hidden, ignore_errors=True)
        for path in above:  # that nothing was written to
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def _held(out: Path, hidden: Path) -> Iterator[None]:
    """Hold the lease; where there are no hard links nobody can, and nobody is refused."""
    try:
        held = lease.acquire(hidden, NAME)
    except UserError as error:
        if getattr(error.__context__, "errno", None) not in NO_LINKS:
            raise
        yield
        return
    if held is None:
        who = lease.holder(hidden, NAME)
        raise UserError(
            f"{out}: {who or 'another command'} is writing to it; wait, or name another with -o"
        )
    with held:
        yield
