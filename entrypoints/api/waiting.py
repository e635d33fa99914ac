"""Long polls and streams: how many there may be, in all and of one user, and how a view waits.

Under our own server a view waits without a thread (entrypoints/server/waiting.py); under any other WSGI server, and
Flask's test client, it keeps its thread.
"""

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from threading import Lock
from typing import Any, TypeVar, cast

from flask import Flask, Response, request
from werkzeug.exceptions import ServiceUnavailable

from application.chat.follow_reply import Waiting
from domain.accounts import UserId
from entrypoints.server.waiting import RESUMED, SERVER_WAITS, WAITING, Interrupted, drive
from entrypoints.server.waiting import Waiting as ServerWaiting

MAX_WAIT = timedelta(seconds=25)
PREFERENCE = re.compile(r'(?:^|,)\s*wait\s*=\s*"?([0-9]{1,4})"?\s*(?:[,;]|$)', re.IGNORECASE)
RETRY_AFTER_SECONDS = 5

T = TypeVar("T")


class TooManyWaiting(ServiceUnavailable):
    """The maximum number of requests is waiting already."""

    code_of_problem = "too_many_waiting"


class ResponseWaits(Exception):
    """Ends a view whose response has to wait: the server calls the application again with the outcome."""


class WaitingPlaces:
    """Bounds the requests that wait: ``total`` in this process, ``per_user`` of one user."""

    def __init__(self, total: int, per_user: int) -> None:
        self._total = total
        self._per_user = per_user
        self._lock = Lock()
        self._taken: Counter[UserId] = Counter()
        self._all = 0

    def take(self, user_id: UserId) -> Callable[[], None]:
        """Take a place; returns the function that gives it back, once however often. Raises TooManyWaiting."""
        with self._lock:
            if self._all >= self._total or self._taken[user_id] >= self._per_user:
                raise TooManyWaiting(retry_after=RETRY_AFTER_SECONDS)
            self._all += 1
            self._taken[user_id] += 1
        taken = [user_id]
        return lambda: self._give_back(taken)

    def _give_back(self, taken: list[UserId]) -> None:
        with self._lock:
            if not taken:
                return
            user_id = taken.pop()
            self._all -= 1
            self._taken[user_id] -= 1
            if not self._taken[user_id]:
                del self._taken[user_id]


def install_waiting(app: Flask) -> None:
    app.register_error_handler(ResponseWaits, lambda _: Response())


def wait_for(
    places: WaitingPlaces, user_id: UserId, start: Callable[[timedelta], Waiting[T]], *, within: timedelta
) -> T:
    """What ``start(within)`` returns in the end. Raises TooManyWaiting, or ResponseWaits: the view is called again.

    Nothing is waited for, and no place is taken, when ``within`` is zero or the server is about to stop.
    """
    environ = request.environ
    if RESUMED in environ:
        outcome = environ[RESUMED]
        if isinstance(outcome, BaseException):
            raise outcome
        if not isinstance(outcome, Interrupted):
            return cast("T", outcome)
        within = timedelta()
    if not within:
        return _finish(start(within))
    release = places.take(user_id)
    if environ.get(SERVER_WAITS):
        environ[WAITING] = ServerWaiting(start(within), streams=False, release=release)
        raise ResponseWaits
    try:
        return _finish(start(within))
    finally:
        release()


def stream(places: WaitingPlaces, user_id: UserId, steps: Generator[Any, Any, None], response: Response) -> Response:
    """``response`` with the pieces of ``steps`` as its body. Raises TooManyWaiting."""
    release = places.take(user_id)
    # Werkzeug would count what the response has now: nothing.
    response.automatically_set_content_length = False
    if request.environ.get(SERVER_WAITS):
        request.environ[WAITING] = ServerWaiting(steps, streams=True, release=release)
        return response
    response.response = _pieces(steps, release)
    response.call_on_close(release)
    return response


def preferred_wait() -> timedelta:
    """How long the client prefers to wait (RFC 7240: ``Prefer: wait=N``), at most MAX_WAIT."""
    found = PREFERENCE.search(request.headers.get("Prefer", ""))
    return min(timedelta(seconds=int(found[1])), MAX_WAIT) if found else timedelta()


def _finish(steps: Waiting[T]) -> T:
    driven = drive(steps)
    try:
        while True:
            next(driven)
    except StopIteration as end:
        return cast("T", end.value)


def _pieces(steps: Generator[Any, Any, None], release: Callable[[], None]) -> Iterator[bytes]:
    try:
        yield from drive(steps)
    finally:
        release()
