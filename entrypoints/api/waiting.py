"""Requests that wait: they keep a thread, but not a place among those that work.

The web server has many threads, since each open stream keeps one. Work is bounded all the same, so that it neither
crowds the interpreter nor asks for more database connections than there are.
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

# Kept with the request itself: ``g`` is shared by requests that one process makes of itself.
HAS_PLACE = "gemini_chat.has_place"


class TooManyWaiting(ServiceUnavailable):
    """So many requests wait that one more may not. ``problem``: its code and title."""

    problem = ("too_many_waiting", "Too many requests are waiting")


class RequestSlots:
    """RequestSlots for requests that are being worked on, and others for those that wait."""

    def __init__(self, count: int, waiting: int = 600) -> None:
        """Let ``count`` requests be worked on and ``waiting`` ones wait at once."""
        # One token a place. As a semaphore, but in C: every request comes by here.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(count):
            self._free.put(None)
        self._waiting = BoundedSemaphore(waiting)

    def take(self, environ: dict[str, Any]) -> None:
        """Give a request a place until its answer begins; what streams after that needs none."""
        self._free.get()
        environ[HAS_PLACE] = True

    def give_back(self, environ: dict[str, Any]) -> None:
        """Take the place back from a request that has one."""
        if environ.pop(HAS_PLACE, False):
            self._free.put(None)

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Let another request work while this one waits. TooManyWaiting if so many wait that it may not."""
        self._begin_to_wait()
        try:
            request.environ[HAS_PLACE] = False
            self._free.put(None)
            try:
                yield
            finally:
                self._free.get()
                request.environ[HAS_PLACE] = True
        finally:
            self._waiting.release()

    def kept_open(self, response: Response) -> Response:
        """An answer that streams: it waits until it is closed. TooManyWaiting as above."""
        self._begin_to_wait()
        response.call_on_close(self._waiting.release)
        return response

    def _begin_to_wait(self) -> None:
        # Threads are as many as all places together: whoever waited beyond them would stop everybody.
        if not self._waiting.acquire(blocking=False):
            raise TooManyWaiting(retry_after=RETRY_AFTER_SECONDS)


def preferred_wait() -> timedelta:
    """How long the client would like to wait for the outcome (RFC 7240: ``Prefer: wait=N``), within our bound."""
    found = PREFERENCE.search(request.headers.get("Prefer", ""))
    return min(timedelta(seconds=int(found[1])), MAX_WAIT) if found else timedelta()
