"""Real servers without an installation: Postgres and Valkey out of Python wheels.

For ``make run`` on a bare machine and for tests. They are ordinary child processes; all they own is below one data
directory, readable by its owner only:

    postgres/           the database             postgres.password   its password
    valkey/             the append-only file     valkey.password, valkey.conf
    logs/               what the servers say     run.lock, postgres.lock, valkey.lock
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from entrypoints.local_stack import ports, process_table
from entrypoints.local_stack.binaries import find_binaries
from entrypoints.local_stack.children import ChildSpec
from entrypoints.local_stack.errors import ChildFailed, ServersUnavailable
from entrypoints.local_stack.inbox import QuietInbox
from entrypoints.local_stack.locks import LockFile, named_in, sole_user_of
from entrypoints.local_stack.postgres import Postgres
from entrypoints.local_stack.processes import Supervisor
from entrypoints.local_stack.valkey import Valkey

ORPHAN_ENDS_WITHIN = 30.0
PORT_ATTEMPTS = 3


class Servers(NamedTuple):
    """Where the embedded servers can be reached, passwords included."""

    database_url: str
    redis_url: str


@contextlib.contextmanager
def embedded_servers(data_dir: Path, *, durable: bool = True) -> Iterator[Servers]:
    """Run both servers in the background for the length of a block, for tests and small tools.

    Their data stays in ``data_dir``. ``durable=False`` makes writes cheaper: Valkey keeps nothing then, and a power
    failure may destroy the database. Raises SupervisorError if they cannot run.

    Use it in the main thread: the servers end when the thread that started them does, so that nothing is left even
    after kill -9 (docs/decisions/0015 says where not). A server that dies is not started again.
    """
    data_dir = data_dir.absolute()
    with sole_user_of(data_dir):
        supervisor = Supervisor(QuietInbox(), say=lambda _line: None)
        try:
            yield Servers(
                start_postgres(supervisor, data_dir, durable=durable),
                start_valkey(supervisor, data_dir, durable=durable),
            )
        finally:
            supervisor.stop()


def start_postgres(supervisor: Supervisor, data_dir: Path, *, durable: bool = True) -> str:
    """Start the embedded Postgres as a child of ``supervisor``; returns its URL when it answers.

    The caller is the sole user of ``data_dir``. Creates the database if there is none.
    """
    server = Postgres(find_binaries(), data_dir, durable)
    _end_orphan(supervisor, server.lock, "postgres", signal.SIGINT)
    started = time.monotonic()
    if not server.exists():
        supervisor.say("creating the database (first start only, a few seconds) …")
        server.create(supervisor.run)
    server.check()
    port = _start(supervisor, server.spec)
    _say_ready(supervisor, "postgres", port, started)
    return server.url(port)


def start_valkey(supervisor: Supervisor, data_dir: Path, *, durable: bool = True) -> str:
    """Start the embedded Valkey as a child of ``supervisor``; returns its URL when it answers."""
    server = Valkey(find_binaries(), data_dir, durable)
    _end_orphan(supervisor, server.lock, "valkey-server", signal.SIGTERM)
    started = time.monotonic()
    port = _start(supervisor, server.spec)
    _say_ready(supervisor, "valkey", port, started)
    return server.url(port)


def _say_ready(supervisor: Supervisor, role: str, port: int, started: float) -> None:
    elapsed = time.monotonic() - started
    supervisor.say(f"{role} is ready on 127.0.0.1:{port} ({elapsed:.1f} s)")


def _start(supervisor: Supervisor, spec_on: Callable[[int], ChildSpec]) -> int:
    """Start a server on a free port; on another one if it was taken meanwhile."""
    for attempts_left in reversed(range(PORT_ATTEMPTS)):
        port = ports.free_loopback_port()
        try:
            supervisor.start(spec_on(port))
        except ChildFailed:
            if not attempts_left or ports.why_not("127.0.0.1", port) is None:
                raise
        else:
            return port
    raise AssertionError("the last attempt returns or raises")


def _end_orphan(supervisor: Supervisor, path: Path, program: str, stop_signal: signal.Signals) -> None:
    """Wait for a server whose supervisor was killed. Where the kernel did not tell it to stop, it is told now."""
    deadline = time.monotonic() + ORPHAN_ENDS_WITHIN
    told = False
    while not _is_free(path):
        if not told:
            supervisor.say(f"waiting for the {program} of an earlier run to end …")
            _tell(named_in(path), program, stop_signal)
            told = True
        if time.monotonic() > deadline:
            raise ServersUnavailable(f"a {program} of an earlier run does not end (process {named_in(path)})")
        supervisor.pause(0.05)


def _is_free(path: Path) -> bool:
    lock = LockFile.take(path)
    if lock is not None:
        lock.close()
    return lock is not None


def _tell(pid: int | None, program: str, stop_signal: signal.Signals) -> None:
    # The file may name a process that is gone while its children still hold the lock.
    if pid is not None and program in process_table.command_line_of(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, stop_signal)
