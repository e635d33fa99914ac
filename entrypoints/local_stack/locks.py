"""Lock files: exactly one supervisor per data directory, exactly one server per database.

The kernel holds the lock (flock), not the file: it ends with the last process that has the file open, however that
process ends, so a file left behind by kill -9 means nothing.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from entrypoints.local_stack.errors import SupervisorError


class LockFile:
    """An exclusive lock that is held. Its file names a process, for messages to people.

    Processes that inherit the descriptor hold the lock together with this one, and keep it when this one closes. So a
    lock handed to a server tells whether any of its processes is left.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "LockFile | None":
        """Take the lock, or return None at once if it is held."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def name(self, pid: int) -> None:
        """Write down the process that holds the lock."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{pid}\n".encode(), 0)

    def close(self) -> None:
        """The lock is free then, unless a child that inherited it still lives."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def named_in(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def sole_user_of(data_dir: Path) -> Iterator[None]:
    """Keep a second supervisor off the data directory, which is made if missing, for its owner only.

    Raises SupervisorError, naming the process, if there is one already.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = LockFile.take(data_dir / "run.lock")
    except OSError as fault:
        raise SupervisorError(f"the data directory cannot be used: {fault}") from fault
    if lock is None:
        raise SupervisorError(
            f"already running with the data directory {data_dir}"
            f" (process {named_in(data_dir / 'run.lock') or 'unknown'})"
        )
    with lock:
        lock.name(os.getpid())
        yield
