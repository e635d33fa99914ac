"""One child process: how it is started, seen to end, and made to end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from entrypoints.backoff import Backoff
from entrypoints.local_stack import launch
from entrypoints.local_stack.errors import ChildFailed
from entrypoints.local_stack.locks import LockFile

LOG_LIMIT = 10_000_000
# What a server needs to find its libraries and temporary files; neither settings that would change its behaviour (PG*,
# LC_*) nor the keys and secrets of the application.
BARE = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def inherited_environment(**overrides: str) -> dict[str, str]:
    """This process's whole environment and ``overrides``, for a child that reads its settings."""
    return _own_environment() | overrides


def bare_environment() -> dict[str, str]:
    """An environment for the servers, without the configuration and the secrets of the application."""
    own = _own_environment()
    return {name: own[name] for name in BARE if name in own} | {"LC_ALL": "C"}


def _own_environment() -> dict[str, str]:
    # Handed on, not read: configuration is read in entrypoints.settings alone.
    return dict(os.environ)  # noqa: TID251


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    role: str  # what messages call it
    command: tuple[str, ...]
    environment: Mapping[str, str]  # all of it
    stdin: Path | None = None  # None: it reads nothing
    # Asks it to end in good order. After ``grace`` seconds it is killed; ``hurry_signal`` comes before that, and at
    # once when a second request to stop comes.
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    hurry_signal: signal.Signals = signal.SIGKILL
    # What it gets from the kernel when the supervisor is gone (with setpriv).
    death_signal: signal.Signals = signal.SIGKILL
    # Whether it does its work by now; may block for a second. None: that cannot be asked.
    ready: Callable[[], bool] | None = None
    ready_within: float = 60.0
    log: Path | None = None  # its output is appended; None: the supervisor's own output
    # The user it becomes if it may not run as root; it can open ``must_read`` then.
    account: launch.Account | None = None
    must_read: tuple[str, ...] = ()
    # A lock file that it and every process it creates hold while they live.
    lock: Path | None = None
    # Called before every start, with the lock held.
    before_start: Callable[[], None] | None = None


class Child:
    """A child and its successors: after ``spawn`` and an end, it can be spawned again."""

    def __init__(self, spec: ChildSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.established = False
        self.restart_at: float | None = None
        self._backoff = Backoff()
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._spawned_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process id, of the last process if there were several."""
        return self._process.pid if self._process else None

    def spawn(self) -> None:
        """Start the process; it is not ready yet. Raises ChildFailed if that is impossible now."""
        self.restart_at = None
        self._spawned_at = self._clock()
        try:
            with contextlib.ExitStack() as stack:
                self._process = self._popen(stack)
        except OSError as fault:
            raise ChildFailed(f"{self.spec.role} cannot be started: {fault}") from fault

    def has_ended(self) -> bool:
        """Whether there is no process any more. Reaps it, and ends what it left in its group."""
        if self._process is None or self._process.returncode is not None:
            return True
        if _waits_to_be_reaped(self._process.pid):
            # Its workers, if it did not take them along: before the number can be given anew.
            self.send_group_signal(signal.SIGKILL)
        return self._process.poll() is not None

    def is_ready(self) -> bool:
        return self.spec.ready is None or self.spec.ready()

    def plan_restart(self) -> float:
        """Note when the next ``spawn`` is due; returns in how many seconds."""
        now = self._clock()
        delay = self._backoff.delay_after(now - self._spawned_at)
        self.restart_at = now + delay
        return delay

    def send_signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def send_group_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it created in its group."""
        if self._process is not None and self._process.returncode is None:
            # On macOS a group whose only process is a zombie answers with a PermissionError.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def how_it_ended(self) -> str:
        """The end in words, such as "was killed by SIGKILL"."""
        status = self._process.returncode if self._process else None
        if status is None:
            return "could not be started"
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-status).name}"
            return f"was killed by signal {-status}"
        return f"ended with status {status}"

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal, or None if it has not ended."""
        return self._process.returncode if self._process else None

    def _popen(self, stack: contextlib.ExitStack) -> subprocess.Popen[bytes]:
        spec = self.spec
        lock = stack.enter_context(_taken(spec.lock)) if spec.lock else None
        if spec.before_start:
            spec.before_start()
        given = stack.enter_context((spec.stdin or Path(os.devnull)).open("rb"))
        output = stack.enter_context(open_log(spec.log)) if spec.log else None
        user: dict[str, Any] = {}
        privileges: list[str] = []
        if spec.account:
            user, privileges = launch.as_account(spec.account, must_read=[*spec.must_read, spec.command[0]])
        process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 (a command of our own)
            launch.command_line(spec.command, death_signal=spec.death_signal, privileges=privileges),
            **user,
            env=spec.environment,
            stdin=given,
            stdout=output,
            stderr=output,
            pass_fds=(lock.descriptor,) if lock else (),
            # Its own session: Ctrl-C on the terminal reaches the supervisor alone, which then stops the children in
            # their order.
            start_new_session=True,
        )
        if lock:
            lock.name(process.pid)
        return process


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; a long one of the past is put aside first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def last_lines(log: Path | None, count: int = 5) -> Sequence[str]:
    """The end of a log, for a message."""
    if log is None or not log.exists():
        return ()
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 10_000))
        return file.read().decode(errors="replace").splitlines()[-count:]


def _taken(path: Path) -> LockFile:
    lock = LockFile.take(path)
    if lock is None:
        raise ChildFailed(f"processes of the one before still hold {path.name}")
    return lock


def _waits_to_be_reaped(pid: int) -> bool:
    if not hasattr(os, "waitid"):
        return False  # macOS before Python 3.13; there a killed child's workers may outlive it
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, options) is not None
