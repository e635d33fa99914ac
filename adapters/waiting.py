"""How adapters wait for a server: in a thread, or in what takes turns with others on an event loop.

``PollingWaiter`` is for threads. The web server has another one, which lets the event loop go on meanwhile.
"""

import select
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Waiter(Protocol):
    def wait_for(self, descriptor: int, *, writing: bool, seconds: float) -> bool:
        """Wait until a socket can be read, or written. False: it could not within ``seconds``."""

    def run(self, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises, which waits by itself."""


class PollingWaiter(Waiter):
    """Keeps its thread while it waits."""

    def wait_for(self, descriptor: int, *, writing: bool, seconds: float) -> bool:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT if writing else select.POLLIN)
        return bool(waiting.poll(max(seconds, 0) * 1000))

    def run(self, call: Callable[[], T]) -> T:
        return call()


POLLING = PollingWaiter()
