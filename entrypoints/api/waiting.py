"""Request slots: bound how many requests are worked on; long polls and streams keep a thread but release their slot.

The web server has many threads, since each open stream occupies one. The bound keeps requests from competing for the
interpreter and from needing more database connections than there are.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from queue import SimpleQueue
from threading import BoundedSemaphore
from typing import Any

from flask import Response, request
from werkzeug.exceptions import ServiceUnavailable

MAX_WAIT = timedelta(seconds=25)
PREFERENCE = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,4})"?\s*(?:[,;]|$)', re.IGNORECASE)
RETRY_AFTER_SECONDS = 5

# Key of the WSGI environ. Not in ``g``, which nested requests of one process (in tests) share.
HAS_SLOT = "gemini_chat.has_slot"


class TooManyWaiting(ServiceUnavailable):
    """The maximum number of requests is waiting already. ``problem``: code and title of the response."""

    problem = ("too_many_waiting", "Too many requests are waiting")


class RequestSlots:
    """``count`` requests are worked on at once, ``waiting`` more may wait or stream; further ones queue."""

    def __init__(self, count: int, waiting: int = 600) -> None:
        # One token per slot: a semaphore written in C, since every request passes here.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)
        self._waiting = BoundedSemaphore(waiting)

    def acquire(self, environ: dict[str, Any]) -> None:
        """Block until a slot is free, and hold it until ``release``: at the latest when the response begins."""
        self._free.get()
        environ[HAS_SLOT] = True

    def release(self, environ: dict[str, Any]) -> None:
        """Release the slot of a request; no effect if it has none."""
        if environ.pop(HAS_SLOT, False):
            self._free.put(None)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release the slot while the current request waits, and acquire one again afterwards. Raises TooManyWaiting."""
        self._start_waiting()
        try:
            request.environ[HAS_SLOT] = False
            self._free.put(None)
            try:
                yield
            finally:
                self._free.get()
                request.environ[HAS_SLOT] = True
        finally:
            self._waiting.release()

    def hold_while_streaming(self, response: Response) -> Response:
        """Count a response that streams as waiting until it is closed. Raises TooManyWaiting."""
        self._start_waiting()
        response.call_on_close(self._waiting.release)
        return response

    def _start_waiting(self) -> None:
        # There is one thread for each slot and each waiting request: one more would occupy a thread of the slots.
        if not self._waiting.acquire(blocking=False):
            raise TooManyWaiting(retry_after=RETRY_AFTER_SECONDS)


def preferred_wait() -> timedelta:
    """How long the client prefers to wait (RFC 7240: ``Prefer: wait=N``), at most MAX_WAIT."""
    found = PREFERENCE.search(request.headers.get("Prefer", ""))
    return min(timedelta(seconds=int(found[1])), MAX_WAIT) if found else timedelta()
