"""Requests that take turns on the event loop: while one waits for a server, the loop goes on (decision 40).

A greenlet needs no thread, and no hand-off of the interpreter's lock. What waits in one has to wait by ``wait_for`` or
``run``: anything else would make the loop wait, and all requests with it.
"""

import select
import time
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

from greenlet import getcurrent, greenlet

from adapters.waiting import POLLING, Waiter

T = TypeVar("T")
Job = Callable[[], None]

# How often deadlines are looked at: a wait may take that much longer. Cheaper than a timer for each wait.
LOOK_EVERY_SECONDS = 0.25


class _Greenlet(greenlet):
    """One of ours; its parent is the event loop."""


class _Wait(NamedTuple):
    waiting: greenlet
    # ``time.monotonic``
    until: float


class Greenlets(Waiter):
    """Runs jobs on the event loop of the thread that starts them, and waits for them.

    In any other thread it waits as ``PollingWaiter`` does. ``helpers``: up to so many threads for what cannot wait on
    the loop; as many as there are jobs at once, so that no job waits for another one's helper.
    """

    def __init__(self, *, helpers: int) -> None:
        self._helpers = ThreadPoolExecutor(helpers, thread_name_prefix="helper")
        self._loop: AbstractEventLoop | None = None
        self._idle: list[greenlet] = []
        self._sockets: _Sockets | None = None

    def start(self, job: Job) -> None:
        """Run ``job`` until it waits for the first time, or ends. To be called on the loop."""
        if self._loop is None:
            self._loop = get_running_loop()
            if hasattr(select, "epoll"):
                self._sockets = _Sockets(self._loop)
        one = self._idle.pop() if self._idle else _Greenlet(self._work)
        one.switch(job)

    def close(self) -> None:
        self._helpers.shutdown(wait=False)

    def wait_for(self, descriptor: int, *, writing: bool, seconds: float) -> bool:
        me = getcurrent()
        if not isinstance(me, _Greenlet):
            return POLLING.wait_for(descriptor, writing=writing, seconds=seconds)
        if self._sockets is None:
            return self.run(lambda: POLLING.wait_for(descriptor, writing=writing, seconds=seconds))
        self._sockets.watch(descriptor, me, writing=writing, seconds=seconds)
        ready: bool = _wait(me)
        return ready

    def run(self, call: Callable[[], T]) -> T:
        me = getcurrent()
        if not isinstance(me, _Greenlet):
            return call()
        assert self._loop is not None  # noqa: S101 - it has started this greenlet
        done = self._loop.run_in_executor(self._helpers, copy_context().run, call)
        done.add_done_callback(me.switch)
        _wait(me)
        return done.result()

    def _work(self, job: Job) -> None:
        me = getcurrent()
        while True:
            job()
            # Kept for the next job: a new one takes three times as long.
            self._idle.append(me)
            job = _wait(me)


class _Sockets:
    """Sockets that greenlets of one event loop wait for: one descriptor of the loop, and one system call a wait."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._waits: dict[int, _Wait] = {}
        self._looking = False
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._go_on_where_ready)

    def watch(self, descriptor: int, waiting: greenlet, *, writing: bool, seconds: float) -> None:
        """Switch to ``waiting`` once, with True as soon as the socket is ready, with False when it is too late."""
        # Once: a thread may use the same connection afterwards.
        events = (select.EPOLLOUT if writing else select.EPOLLIN) | select.EPOLLONESHOT
        try:
            self._epoll.modify(descriptor, events)
        except FileNotFoundError:  # the first time; the system forgets a descriptor that is closed
            self._epoll.register(descriptor, events)
        self._waits[descriptor] = _Wait(waiting, time.monotonic() + seconds)
        if not self._looking:
            self._look_later()

    def _go_on_where_ready(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            wait = self._waits.pop(descriptor, None)
            if wait is not None:
                wait.waiting.switch(True)  # noqa: FBT003

    def _look_later(self) -> None:
        self._looking = True
        self._loop.call_later(LOOK_EVERY_SECONDS, self._look_at_deadlines)

    def _look_at_deadlines(self) -> None:
        now = time.monotonic()
        for descriptor in [descriptor for descriptor, wait in self._waits.items() if wait.until < now]:
            self._waits.pop(descriptor).waiting.switch(False)  # noqa: FBT003
        self._looking = bool(self._waits)
        if self._looking:
            self._look_later()


def _wait(me: greenlet) -> Any:
    """Give the loop its turn. What the greenlet is woken with."""
    loop = me.parent
    assert loop is not None  # noqa: S101 - only the main greenlet of a thread has none
    return loop.switch()
