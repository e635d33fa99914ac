"""A web process keeps to one core.

Python runs one thread at a time. Where the kernel spreads the threads of a process over the cores, the interpreter's
lock goes to and fro between them, with all that the last thread had in its cache: that costs as much as the requests do
(docs/decisions/0013). On which core a process runs is of no importance, so it leaves one that others want.
"""

import os
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread

import structlog

LOOK_SECONDS = 1.0
# A core is left for one on which others do so much less, as a share of the core; an idle process stays where it is.
WORTH_MOVING = 0.25
IDLE = 0.05

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")

# The system refuses; it does not know a core; what it says of the cores cannot be understood.
FAILURES = (OSError, LookupError, ValueError)

log = structlog.get_logger(__name__)


def keep_to_one_core() -> None:
    """Have this process keep to one core from now on, where the system can do that (Linux) and there are several.

    Where it refuses, or does not say how busy each core is, the process keeps all: on one that it could not leave it
    would be worse off.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    try:
        cores = os.sched_getaffinity(0)
        if len(cores) < 2:
            return
        busy = _busy_seconds(cores)
        core = random.choice(sorted(cores))  # noqa: S311 - no secret
        _move_threads(cores, core)
    except FAILURES as error:
        _say_why_not(error)
        return
    Thread(target=_watch, args=(cores, core, busy), name="one-core", daemon=True).start()


def better_core(current: int, others: Mapping[int, float]) -> int | None:
    """Where to move, by what others do on each core, as shares of it; None: to stay is as good."""
    quietest = min(others, key=lambda core: others[core])
    return quietest if others[current] - others[quietest] > WORTH_MOVING else None


def _watch(cores: set[int], core: int, busy: dict[int, float]) -> None:
    """Move to better cores until the system refuses, or a core is gone; then give all cores back."""
    try:
        _look_around(cores, core, busy)
    except FAILURES as error:
        _say_why_not(error)
    _give_back(cores)


def _say_why_not(error: Exception) -> None:
    log.warning("not_kept_to_one_core", error=type(error).__name__, reason=str(error))


def _look_around(cores: set[int], core: int, busy: dict[int, float]) -> None:
    own = time.process_time()
    while True:
        time.sleep(LOOK_SECONDS)
        busy_before, own_before = busy, own
        busy, own = _busy_seconds(cores), time.process_time()
        mine = (own - own_before) / LOOK_SECONDS
        others = {one: (busy[one] - busy_before[one]) / LOOK_SECONDS for one in cores}
        # Not below 0: some of it was done on other cores, by the threads that hash passwords.
        others[core] = max(others[core] - mine, 0.0)
        better = better_core(core, others) if mine > IDLE else None
        # Not every time: two processes that met on a core would otherwise meet again on the next.
        if better is not None and random.random() < 0.5:  # noqa: S311 - a coin
            _move_threads({core}, better)
            # Not moved if the operator has chosen cores for this process.
            if os.sched_getaffinity(0) == {better}:
                core = better


def _busy_seconds(cores: set[int]) -> dict[int, float]:
    """How long each core has worked since the machine was started; LookupError when one of them is not listed.

    A core that is offline is not listed. Nor are those of a container whose list is its own (lxcfs counts from 0).
    """
    found: dict[int, float] = {}
    for line in STAT.read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:8])
            found[int(name[3:])] = (user + nice + system + sum(interrupts)) / TICKS_PER_SECOND
    if missing := cores - found.keys():
        raise LookupError(f"not in {STAT}: {sorted(missing)}")
    return found


def _move_threads(there: set[int], core: int) -> None:
    """Move the threads that keep to ``there``; one that chose other cores for itself stays where it is.

    OSError when the threads cannot be listed or this one may not be moved: then none was.
    """
    threads = _threads()
    _move(0, there, core)
    for thread in threads:
        with suppress(OSError):  # a thread that has ended
            _move(thread, there, core)


def _move(thread: int, there: set[int], core: int) -> None:
    if os.sched_getaffinity(thread) == there:
        os.sched_setaffinity(thread, {core})


def _give_back(cores: set[int]) -> None:
    """Let all threads run on all of these."""
    for thread in _threads_at_last():
        with suppress(OSError):  # a thread that has ended
            os.sched_setaffinity(thread, cores)


def _threads_at_last() -> list[int]:
    """The threads, as soon as they can be listed: a process that is out of files will have some again."""
    while True:
        with suppress(OSError):
            return _threads()
        time.sleep(LOOK_SECONDS)


def _threads() -> list[int]:
    return [int(task.name) for task in TASKS.iterdir()]
