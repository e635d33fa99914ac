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

LOOK_SECONDS = 1.0
# A core is left for one on which others do so much less, as a share of the core; an idle process stays where it is.
WORTH_MOVING = 0.25
IDLE = 0.05

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STAT = Path("/proc/stat")
TASKS = Path("/proc/self/task")


def keep_to_one_core() -> None:
    """Have this process keep to one core from now on, where the system can do that (Linux) and there are several."""
    if not hasattr(os, "sched_setaffinity") or len(cores := os.sched_getaffinity(0)) < 2:
        return
    core = random.choice(sorted(cores))  # noqa: S311 - no secret
    _move_threads(cores, core)
    Thread(target=_look_around, args=(cores, core), name="one-core", daemon=True).start()


def better_core(current: int, others: Mapping[int, float]) -> int | None:
    """Where to move, by what others do on each core, as shares of it; None: to stay is as good."""
    quietest = min(others, key=lambda core: others[core])
    return quietest if others[current] - others[quietest] > WORTH_MOVING else None


def _look_around(cores: set[int], core: int) -> None:
    busy, own = _busy_seconds(cores), time.process_time()
    while True:
        time.sleep(LOOK_SECONDS)
        busy_before, own_before = busy, own
        busy, own = _busy_seconds(cores), time.process_time()
        mine = (own - own_before) / LOOK_SECONDS
        others = {one: (busy[one] - busy_before[one]) / LOOK_SECONDS - (mine if one == core else 0) for one in cores}
        better = better_core(core, others) if mine > IDLE else None
        # Not every time: two processes that met on a core would otherwise meet again on the next.
        if better is not None and random.random() < 0.5:  # noqa: S311 - a coin
            _move_threads({core}, better)
            core = better


def _busy_seconds(cores: set[int]) -> dict[int, float]:
    """How long each core has worked since the machine was started."""
    found = dict.fromkeys(cores, 0.0)
    for line in STAT.read_text(encoding="ascii").splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in found:
            user, nice, system, _idle, _waiting, *interrupts = map(int, ticks[:8])
            found[int(name[3:])] = (user + nice + system + sum(interrupts)) / TICKS_PER_SECOND
    return found


def _move_threads(there: set[int], core: int) -> None:
    """Move the threads that keep to ``there``; one that chose other cores for itself stays where it is."""
    for task in TASKS.iterdir():
        with suppress(OSError):  # a thread that has ended
            if os.sched_getaffinity(int(task.name)) == there:
                os.sched_setaffinity(int(task.name), {core})
