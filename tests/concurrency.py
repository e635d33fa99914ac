"""Many threads at once."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar

from domain.errors import DomainError

T = TypeVar("T")


def together(actions: Iterable[Callable[[], T]]) -> list[T]:
    """Run all actions at the same moment, each in a thread of its own; what each returned."""
    waiting = list(actions)
    start = Barrier(len(waiting))

    def run(action: Callable[[], T]) -> T:
        start.wait(30)
        return action()

    with ThreadPoolExecutor(len(waiting)) as threads:
        return list(threads.map(run, waiting))


def at_once(actions: Iterable[Callable[[], T]]) -> list[T | DomainError]:
    """The same, where an action may be refused: what each returned, or the refusal it raised."""
    return together(partial(_outcome, action) for action in actions)


def eventually(holds: Callable[[], bool], *, within: float = 30.0) -> bool:
    """Whether it becomes true; asked until then, at most ``within`` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _outcome(action: Callable[[], T]) -> T | DomainError:
    try:
        return action()
    except DomainError as refusal:
        return refusal
