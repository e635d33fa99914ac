"""Several web processes on one port, under one command: one that ends is started again, a signal to stop goes to all.

Each is an ordinary web process with a socket of its own (SO_REUSEPORT): the kernel spreads new connections evenly, and
leaves out a process that is gone (docs/decisions/0025).
"""

import asyncio
import math
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import structlog

from entrypoints.backoff import Backoff
from entrypoints.container.build import check_servers
from entrypoints.server.serve import STOP_SIGNALS, bound_socket
from entrypoints.settings import Settings
from entrypoints.web import cannot_listen

# The two numbers of a container's limit: microseconds of CPU in a period, and the period.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
# More than a process takes to finish what it is answering (entrypoints.server.serve).
ENDS_WITHIN = 15.0

log = structlog.get_logger(__name__)


def number_of_processes(wanted: int | None) -> int:
    """``wanted``; None: as many as there are cores for this process, where a container's limit counts."""
    if wanted is not None:
        return wanted
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _allowed_cores(cores)))


def _allowed_cores(otherwise: int) -> int:
    try:
        quota, period = CPU_MAX.read_text(encoding="ascii").split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return otherwise


def run_web_processes(settings: Settings, number: int) -> int:
    """Run so many until SIGINT, SIGTERM or SIGHUP. The exit status.

    Raises CannotStart when the database or Redis is none that the service could work with.
    """
    try:
        # Among themselves they share the port. Another service on it is refused, unless it is meant to be there.
        bound_socket(settings.host, settings.port, shared=settings.shared_port).close()
    except OSError as error:
        return cannot_listen(settings, error)
    # Each of them looks, too, but would be started again for ever.
    check_servers(settings)
    command = (sys.executable, "-m", "entrypoints.cli", "web", "--process")
    asyncio.run(_keep_running([(*command, str(one)) for one in range(1, number + 1)]))
    return 0


def end_with_parent() -> None:
    """Have this process stop when the one that started it is gone, even by kill -9: then its standard input ends."""

    def wait() -> None:
        with suppress(OSError):
            while os.read(sys.stdin.fileno(), 1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=wait, name="end-with-parent", daemon=True).start()


class _Process:
    """One of the processes, by its number, from one life to the next."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self._number = number
        self._command = command
        self._running: asyncio.subprocess.Process | None = None

    async def keep_running(self, stop: asyncio.Event) -> None:
        backoff, loop = Backoff(), asyncio.get_running_loop()
        while not stop.is_set():
            began = loop.time()
            status = await self._run(stop)
            if stop.is_set():
                return
            delay = backoff.delay_after(loop.time() - began)
            log.error("web_process_ended", process=self._number, status=status, again_in=round(delay, 1))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)

    async def _run(self, stop: asyncio.Event) -> int | None:
        """From its start to its end; its status, None where it could not be started."""
        try:
            self._running = await asyncio.create_subprocess_exec(
                *self._command,
                # What it reads there is the end of this process.
                stdin=asyncio.subprocess.PIPE,
                # Ctrl-C goes to this process only: the signal that it passes on would otherwise be the second one.
                start_new_session=True,
            )
        except OSError as error:
            log.error("web_process_not_started", process=self._number, reason=error.strerror)
            return None
        if stop.is_set():  # told meanwhile
            self.send(signal.SIGTERM)
        status = await self._running.wait()
        self._running = None
        return status

    def send(self, number: signal.Signals) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                self._running.send_signal(number)


async def _keep_running(commands: Sequence[Sequence[str]]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    processes = [_Process(number, command) for number, command in enumerate(commands, start=1)]

    def told() -> None:
        stop.set()
        # The second time, too: then they do not wait for what is going on.
        for process in processes:
            process.send(signal.SIGTERM)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, told)
    running = [asyncio.ensure_future(process.keep_running(stop)) for process in processes]
    await stop.wait()
    _, late = await asyncio.wait(running, timeout=ENDS_WITHIN)
    if late:
        log.error("web_processes_killed", processes=len(late))
        for process in processes:
            process.send(signal.SIGKILL)
    await asyncio.gather(*running)
